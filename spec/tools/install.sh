#!/usr/bin/env bash
# Installs what the second implementation and the foreign HPKE need, where it is missing or older than its lock file.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"

wanted=$(sha256sum package-lock.json | cut -d' ' -f1)
stamp=node_modules/.installed
[[ -f $stamp && $(cat "$stamp") == "$wanted" ]] && exit 0

echo "spec/tools: installing the packages of the second implementation" >&2
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
printf '%s' "$wanted" >"$stamp"
