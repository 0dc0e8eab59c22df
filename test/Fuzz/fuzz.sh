#!/usr/bin/env bash
# Guided fuzzing of what parses strangers' bytes, by afl++ and SharpFuzz: only a typed rejection may come out, and quickly.
#   test/Fuzz/fuzz.sh [--seconds N] [TARGET...]      each target, or those that are named, for N seconds (85: ten minutes in all)
#   test/Fuzz/fuzz.sh --minimise [TARGET...]         the same; then the corpus is what reaches all that was reached, in the fewest small inputs
#   test/Fuzz/fuzz.sh --seeds                        begin the corpora anew, from platforms and messages of our own
# What is found is printed, and is in artifacts/fuzz. As a file in test/Fuzz/corpus/TARGET it is a test of the fast run.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."

targets=() seconds=85 minimise= seeds=
while (($#)); do
  case "$1" in
    --seconds) seconds=${2:?--seconds wants a number}; shift ;;
    --minimise) minimise=1 ;;
    --seeds) seeds=1 ;;
    -h|--help) sed -n '2,6p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
    -*) echo "error: unknown option: $1" >&2; echo "hint: test/Fuzz/fuzz.sh --help" >&2; exit 2 ;;
    *) [[ -d test/Fuzz/corpus/$1 ]] || { echo "error: no such target: $1" >&2; exit 2; }; targets+=("$1") ;;
  esac
  shift
done

if [[ -n $seeds ]]; then
  rm -rf test/Fuzz/corpus
  mkdir -p test/Fuzz/corpus
  for project in Attestation Protocol; do
    CONFIDENTIALCHAT_WRITE_SEEDS=$PWD/test/Fuzz/corpus \
      dotnet run --project "test/$project" --configuration Release -- --filter-method "*GuidedFuzzTests.*_of_our_own_*"
  done
  exit
fi
if ! command -v afl-fuzz >/dev/null; then
  if [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null; then
    echo "fuzz.sh: installing afl++" >&2
    apt-get update -qq >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends afl++ >&2
  else
    echo "error: guided fuzzing needs: afl++" >&2
    echo "hint: sudo apt-get update && sudo apt-get install -y --no-install-recommends afl++" >&2
    exit 2
  fi
fi
((${#targets[@]})) || mapfile -t targets < <(ls test/Fuzz/corpus)

# --- A copy of the program, in which every branch of the two libraries is counted.
work=$PWD/artifacts/fuzz
rm -rf "$work"
mkdir -p "$work/bin"
dotnet build test/Fuzz --configuration Release --verbosity quiet >&2
dotnet tool restore --verbosity quiet >&2
cp -r artifacts/bin/ConfidentialChat.Fuzz/release/. "$work/bin"
for library in Attestation Protocol; do dotnet sharpfuzz "$work/bin/ConfidentialChat.$library.dll" >&2; done
# A container has no say in cores and core patterns; a program of .NET has no map of afl's own.
export AFL_SKIP_BIN_CHECK=1 AFL_SKIP_CPUFREQ=1 AFL_NO_AFFINITY=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_NO_UI=1 AFL_QUIET=1
export DOTNET_TieredPGO=0 # a method that is compiled anew counts the same

# --- Each target in turn.
status=0
for target in "${targets[@]}"; do
  out=$work/$target
  if ! afl-fuzz -m none -t 5000 -V "$seconds" -i "test/Fuzz/corpus/$target" -o "$out" -- "$work/bin/ConfidentialChat.Fuzz" "$target" >"$work/$target.log" 2>&1; then
    echo "error: afl-fuzz failed on $target" >&2; tail -20 "$work/$target.log" >&2; exit 1
  fi
  figure() { awk -v name="$1" '$1 == name { print $3 }' "$out/default/fuzzer_stats"; }
  echo "$target: $(figure execs_done) inputs in $(figure run_time) s, $(figure edges_found) branches, $(figure corpus_count) in the queue"
  for found in "$out"/default/{crashes,hangs}/id*; do
    [[ -e $found ]] || continue
    status=1
    echo "error: $target: $found" >&2
    echo "hint: cp '$found' test/Fuzz/corpus/$target/ and run the tests of GuidedFuzzTests" >&2
  done
  if [[ -n $minimise ]]; then
    afl-cmin -m none -t 5000 -i "$out/default/queue" -o "$work/$target.min" -- "$work/bin/ConfidentialChat.Fuzz" "$target" >>"$work/$target.log" 2>&1
    rm -rf "test/Fuzz/corpus/$target"
    mkdir "test/Fuzz/corpus/$target"
    kept=0
    while read -r size input; do # the smallest, so that the repository stays small
      ((kept += size, kept <= 128 << 10)) || break
      cp "$work/$target.min/$input" "test/Fuzz/corpus/$target/$(sha256sum "$work/$target.min/$input" | cut -c1-12)"
    done < <(find "$work/$target.min" -type f -printf '%s %f\n' | sort -n)
  fi
done
exit "$status"
