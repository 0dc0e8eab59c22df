#!/usr/bin/env bash
# Makes the packages for .NET programs, with their symbols:
#   ./pack.sh                     into artifacts/package/release
#   ./pack.sh --output DIRECTORY [--version VERSION]
set -euo pipefail
here=$PWD
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"

export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
output=artifacts/package/release version=()
while (($#)); do
  case "$1" in
    --output) [[ $# -ge 2 ]] || { echo "error: --output takes a directory" >&2; exit 2; }; output=$(cd "$here" && realpath -m "$2"); shift 2 ;;
    --version) [[ $# -ge 2 ]] || { echo "error: --version takes a version" >&2; exit 2; }; version=("-p:Version=$2"); shift 2 ;;
    -h|--help) sed -n '2,4p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) echo "error: unknown option: $1" >&2; echo "hint: ./pack.sh --help" >&2; exit 2 ;;
  esac
done

# Objects of their own: with ContinuousIntegrationBuild the compiler writes no path of this machine into an assembly, and an ordinary build does.
# What analyzers say is said by that one.
dotnet pack ConfidentialChat.Packages.slnf --configuration Release --verbosity quiet --output "$output" \
  -p:ContinuousIntegrationBuild=true -p:ArtifactsPath="$PWD/artifacts/pack" -p:RunAnalyzers=false -p:EnforceCodeStyleInBuild=false "${version[@]}"
ls "$output"/*.nupkg
