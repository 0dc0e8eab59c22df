#!/usr/bin/env bash
# What requests of 22 MiB cost a node that refuses them: time and memory for each shape, at both kinds of engines.
set -euo pipefail
cd "$(dirname "$0")/../.."
dotnet build test/Node -c Release --verbosity quiet
artifacts/bin/ConfidentialChat.Node.Tests/release/ConfidentialChat.Node.Tests \
    --filter-class '*RefusedCostTests' --parallel none --show-live-output on
