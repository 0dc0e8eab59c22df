#!/bin/bash
# A gateway in a memory cgroup, and more uploads at once than the cgroup holds. Needs root and a cgroup file system that may be written to.
#
#     bench/attacks/little_memory.sh [MIB]          (256 where nothing is said)
#
# Four users send twelve bodies of 30 MiB each, all but the last byte. Wanted: the kernel ends nobody (oom_kill stays 0), what finds no
# room is answered 429, and the gateway answers afterwards and ends with exit code 0.
set -euo pipefail
cd "$(dirname "$0")/../.."
mib=${1:-256}
data=$(mktemp -d)
if [ -d /sys/fs/cgroup/memory ]; then
    group=/sys/fs/cgroup/memory/little-memory-$$ limit=memory.limit_in_bytes
else
    group=/sys/fs/cgroup/little-memory-$$ limit=memory.max
fi
mkdir "$group"
gateway=
trap 'kill "$gateway" 2>/dev/null || true; wait 2>/dev/null || true; rmdir "$group"; rm -rf "$data"' EXIT
echo $((mib << 20)) > "$group/$limit"

bash -c 'echo $$ > "$0/cgroup.procs"; exec ./cchat gateway --data "$1" --port 0 --json' "$group" "$data" > "$data/ready" 2> "$data/log" &
gateway=$!
until [ -s "$data/ready" ]; do kill -0 "$gateway"; sleep 0.1; done
url=$(sed 's/.*"gateway":"\([^"]*\)".*/\1/' "$data/ready")
pid=$(head -1 "$group/cgroup.procs")

keys=()
for user in a b c d; do keys+=(--key "$(./cchat keys create --data "$data" --user $user)"); done

# One tenth more than --mib holds, as full_budget.py does it: 48 bodies of 30 MiB.
python3 bench/attacks/full_budget.py --gateway "$url" --model none "${keys[@]}" --pid "$pid" --mib 1300 --rounds 0 || true
grep -h oom_kill "$group"/memory.oom_control "$group"/memory.events 2>/dev/null | grep -v disable || true
cat "$data/log"
curl --silent --show-error --output /dev/null --write-out 'health afterwards: %{http_code}\n' "$url/health/ready"
kill -TERM "$pid"
wait "$gateway" && echo "exit code 0" || echo "exit code $?"
