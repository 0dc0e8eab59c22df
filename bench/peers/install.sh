#!/usr/bin/env bash
# Installs the peers of the whole-path benchmark where they are missing. One that cannot be installed is left out of the run, which says so.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"

if ! command -v nginx >/dev/null && [[ ! -x /usr/sbin/nginx ]]; then
  line="apt-get install -y --no-install-recommends nginx-light"
  if [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null; then
    echo "bench/peers: installing nginx-light" >&2
    # Not to be started by its package: the benchmark runs its own.
    (apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive $line -qq) >&2 || echo "bench/peers: nginx could not be installed" >&2
  else
    echo "bench/peers: nginx is missing: sudo apt-get update && sudo $line" >&2
  fi
fi

if ! command -v npm >/dev/null; then
  echo "bench/peers: npm is missing: sudo apt-get update && sudo apt-get install -y --no-install-recommends nodejs npm" >&2
  exit 0
fi
wanted=$(sha256sum package-lock.json | cut -d' ' -f1)
stamp=node_modules/.installed
[[ -f $stamp && $(cat "$stamp") == "$wanted" ]] && exit 0
echo "bench/peers: installing the peers in Node.js" >&2
if npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2; then
  printf '%s' "$wanted" >"$stamp"
else
  echo "bench/peers: they could not be installed" >&2
fi
