#!/usr/bin/env bash
# Makes the packages for .NET programs, with their symbols:
#   ./pack.sh                     into artifacts/package/release
#   ./pack.sh --output DIRECTORY [--version VERSION] [--baseline DIRECTORY]
# A baseline is packages that were made before: what a program of theirs would miss in these is an error, and named.
set -euo pipefail
here=$PWD
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"

export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
output=artifacts/package/release version=() baseline=()
while (($#)); do
  case "$1" in
    --output) [[ $# -ge 2 ]] || { echo "error: --output takes a directory" >&2; exit 2; }; output=$(cd "$here" && realpath -m "$2"); shift 2 ;;
    --version) [[ $# -ge 2 ]] || { echo "error: --version takes a version" >&2; exit 2; }; version=("-p:Version=$2"); shift 2 ;;
    --baseline)
      [[ $# -ge 2 ]] || { echo "error: --baseline takes a directory" >&2; exit 2; }
      folder=$(cd "$here" && realpath -m "$2")
      made=("$folder"/ConfidentialChat.Client.*.nupkg)
      [[ ${#made[@]} -eq 1 && -f ${made[0]} ]] || { echo "error: there are no packages of one version in $folder" >&2; exit 2; }
      before=${made[0]##*/ConfidentialChat.Client.}
      baseline=("-p:BaselineFolder=$folder" "-p:BaselineVersion=${before%.nupkg}")
      rm -f artifacts/pack/obj/*/release/*.semaphore # the check takes no note of what it was made against
      shift 2
      ;;
    -h|--help) sed -n '2,5p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) echo "error: unknown option: $1" >&2; echo "hint: ./pack.sh --help" >&2; exit 2 ;;
  esac
done

# What the packages say of their time is that of the commit: whoever makes them again gets the same bytes.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 1767225600)}

# Objects of their own: with ContinuousIntegrationBuild the compiler writes no path of this machine into an assembly, and an ordinary build does.
# What analyzers say is said by that one.
dotnet pack ConfidentialChat.Packages.slnf --configuration Release --verbosity quiet --output "$output" \
  -p:ContinuousIntegrationBuild=true -p:ArtifactsPath="$PWD/artifacts/pack" -p:RunAnalyzers=false -p:EnforceCodeStyleInBuild=false "${version[@]}" "${baseline[@]}"
ls "$output"/*.nupkg
