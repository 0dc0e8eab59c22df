#!/usr/bin/env bash
# Measures the whole path, hop by hop; bench/README.md says how. Builds what is missing.
#   ./bench.sh           ten minutes: rounds, peers, results in bench/results, tables and plots in docs/benchmarks.md
#   ./bench.sh --quick   in a minute: that everything runs; needs neither apt nor npm, and writes nothing
#   ./bench.sh --help    the rest
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
program="$root/artifacts/bin/ConfidentialChat.Bench.Path/release/ConfidentialChat.Bench.Path"
cchat="$root/artifacts/bin/ConfidentialChat.Cli/release/cchat"
stamp="$root/artifacts/bench.stamp"

export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
command -v dotnet >/dev/null || { echo "error: the .NET SDK is not installed" >&2; echo "hint: install .NET 10 from https://dotnet.microsoft.com/download" >&2; exit 2; }
command -v taskset >/dev/null || { echo "error: taskset is not installed" >&2; echo "hint: it is in the package util-linux" >&2; exit 2; }

newer() { # Is any source newer than the last build?
  [[ -n $(find "$root/src" "$root/bench/Path" "$root"/Directory.*.props "$root/global.json" "$root/.editorconfig" -newer "$stamp" \
    \( -name '*.cs' -o -name '*.csproj' -o -name '*.props' -o -name '*.json' -o -name '.editorconfig' \) -print -quit) ]]
}

if [[ ! -x $program || ! -x $cchat || ! -f $stamp ]] || newer; then
  echo "bench.sh: building" >&2
  mkdir -p "$root/artifacts"
  started=$(mktemp "$root/artifacts/.benching.XXXXXX")
  log="$root/artifacts/bench-build.log"
  for project in src/ConfidentialChat.Cli bench/Path; do
    if ! dotnet build "$root/$project" --configuration Release --verbosity quiet >"$log" 2>&1; then
      cat "$log" >&2
      rm -f "$started"
      echo "error: the build failed" >&2
      exit 1
    fi
  done
  mv "$started" "$stamp" # as old as the start of the build: an edit made meanwhile is seen next time
fi

full=yes
for argument in "$@"; do
  case "$argument" in
    --quick|--only|--help|-h) full= ;;
  esac
done
if [[ -n $full ]]; then
  "$root/bench/peers/install.sh"
fi
export CONFIDENTIALCHAT_ROOT="$root"
"$program" run "$@"
if [[ -n $full ]]; then
  echo "bench.sh: writing docs/benchmarks.md" >&2
  dotnet run --project "$root/bench/Report" --configuration Release --verbosity quiet -- "$root"
fi
