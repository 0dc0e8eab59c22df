#!/usr/bin/env bash
# Installs what the tests need where it is missing, runs them all, and ends with "N passed, N failed".
#   ./test.sh          the fast run, 25 minutes at most
#   ./test.sh --slow   the slow one, 90 minutes at most: long properties, the soak, a real llama-server, a share of the mutants, and what else takes minutes
#   ./test.sh [--slow] PROJECT…   a part of either: only these folders of test/, for example Node, Fuzz or Mutation, and no benchmarks
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"

export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
slow=() limit=$((25 * 60)) together=2 # projects at once: starts and waits leave half of two cores idle
parts=() campaigns=()
for argument in "$@"; do
  case "$argument" in
    --slow) export CONFIDENTIALCHAT_SLOW=1; slow=(--explicit on) limit=$((90 * 60)) together=1 ;;
    -h|--help) sed -n '2,5p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
    -*) echo "error: unknown option: $argument" >&2; echo "hint: ./test.sh --help" >&2; exit 2 ;;
    Fuzz) campaigns+=(test/Fuzz/fuzz.sh) ;;
    Mutation) campaigns+=(test/Mutation/mutate.sh) ;;
    *)
      part=test/$argument/ConfidentialChat.$argument.Tests.csproj
      [[ -f $part ]] || { echo "error: there are no tests called $argument" >&2; echo "hint: $(cd test && echo */*.Tests.csproj | sed 's|/[^ ]*||g')" >&2; exit 2; }
      parts+=("$part")
      ;;
  esac
done

# What hangs fails: the whole has a time limit, as each test has one of its own (test/Tree/TimeLimit.cs).
within() {
  local status=0
  timeout --foreground --kill-after=30 "$((SECONDS < limit ? limit - SECONDS : 1))" "$@" || status=$?
  if ((status == 124 || status == 137)); then echo "error: over the time limit of $((limit / 60)) minutes: $*" >&2; fi
  return "$status"
}

# --- What the tests need: Node.js with npm for the published clients, a C++ tool chain for the native hash of the Atoma SDK, PostgreSQL's server.
missing=()
command -v dotnet >/dev/null || { echo "error: the .NET SDK is not installed" >&2; echo "hint: install .NET 10 from https://dotnet.microsoft.com/download" >&2; exit 2; }
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
command -v python3 >/dev/null || missing+=(python3)
command -v make >/dev/null || missing+=(make)
command -v g++ >/dev/null || missing+=(g++)
command -v curl >/dev/null || missing+=(curl) # what the docs have people type
command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql) # the tests start one of their own
if ((${#slow[@]})); then # llama.cpp's server is built, and parsers are fuzzed
  command -v cmake >/dev/null || missing+=(cmake)
  command -v afl-fuzz >/dev/null || missing+=(afl++)
fi
if [[ ! -f /usr/include/node/node.h && ! -f "$(dirname "$(dirname "$(readlink -f "$(command -v node || echo /usr/bin/node)")")")/include/node/node.h" ]]; then
  missing+=(libnode-dev)
fi
if ((${#missing[@]})); then
  if [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null; then
    echo "test.sh: installing ${missing[*]}" >&2
    apt-get update -qq >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
  else
    echo "error: the tests need: ${missing[*]}" >&2
    echo "hint: sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 2
  fi
fi
within test/Interop/install.sh
within spec/tools/install.sh

# --- Formatting, build, tests.
echo "test.sh: building" >&2
within dotnet build ConfidentialChat.slnx --configuration Release --verbosity quiet
samples=(samples/chat.cs)
if ((${#slow[@]})); then samples=(samples/*.cs); fi
for sample in "${samples[@]}"; do within dotnet build "$sample" --configuration Release --verbosity quiet; done
echo "test.sh: checking the format" >&2
within dotnet format whitespace ConfidentialChat.slnx --verify-no-changes --no-restore --verbosity quiet # the build holds the style

log=$(mktemp)
export CONFIDENTIALCHAT_WARNINGS=$log.warnings
: >"$CONFIDENTIALCHAT_WARNINGS"
trap 'rm -f "$log" "$CONFIDENTIALCHAT_WARNINGS"' EXIT
echo "test.sh: testing" >&2
status=0
run() { within dotnet test "$@" --configuration Release --no-build --max-parallel-test-modules "$together" "${slow[@]}" 2>&1 | tee --append "$log" || status=$?; }
if ((${#parts[@]})); then
  for part in "${parts[@]}"; do run --project "$part"; done
elif ((${#campaigns[@]} == 0)); then
  run --solution ConfidentialChat.slnx
fi

# --- Once more, with the state of every gateway in PostgreSQL; what runs there anyway is left out, and what is about SQLite's file.
gateway=test/Gateway/ConfidentialChat.Gateway.Tests.csproj
if ((${#slow[@]})) && { ((${#parts[@]} + ${#campaigns[@]} == 0)) || [[ " ${parts[*]} " == *" $gateway "* ]]; }; then
  CONFIDENTIALCHAT_TEST_STATE=postgres run --project "$gateway" \
    --filter-not-namespace ConfidentialChat.Gateway.Tests.Postgres --filter-not-class ConfidentialChat.Gateway.Tests.Metering.LedgerTests \
    --filter-not-trait Database=file
fi

# --- The benchmarks: that they run, never how fast.
if (($(nproc) > 1 && ${#parts[@]} + ${#campaigns[@]} == 0)); then
  echo "test.sh: benchmarks, quickly" >&2
  benches=0
  within ./bench.sh --quick || benches=$?
fi

# --- Guided fuzzing, ten minutes, and a share of the mutants, as long (docs/mutation.md), in the slow run or where they are named.
if ((${#slow[@]} && ${#parts[@]} + ${#campaigns[@]} == 0)); then campaigns=(test/Fuzz/fuzz.sh test/Mutation/mutate.sh); fi
failures=0
for campaign in "${campaigns[@]}"; do
  echo "test.sh: $campaign" >&2
  within "$campaign" || failures=$((failures + 1))
done

# --- What there is to say: how long each project took, what to look at, the sum.
sed -nE 's|^/.*/([^/]+)\.dll \(.*\((.*)\)$|\1: \2|p' "$log"
sort -u "$CONFIDENTIALCHAT_WARNINGS" | sed 's/^/warning: /'

count() { awk -v word="$1:" '$1 == word { n += $2 } END { print n + 0 }' "$log"; }
passed=$(count succeeded) failed=$(count failed) skipped=$(count skipped)
if [[ $status -ne 0 && $failed -eq 0 ]]; then failed=1; fi # a test host that crashed, say
if [[ ${benches:-0} -ne 0 ]]; then failed=$((failed + 1)); fi
failed=$((failed + failures))
vectors=${CONFIDENTIALCHAT_VECTORS:-../shared/vectors}
if [[ -d $vectors ]]; then echo "vectors: found"; else echo "vectors: absent, $skipped skipped"; fi
echo "$passed passed, $failed failed"
[[ $failed -eq 0 ]]
