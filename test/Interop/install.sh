#!/usr/bin/env bash
# Installs the foreign clients of the interoperability tests, where they are missing or older than their lock file.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"

# What runs no script of its own when it is installed: as its lock file says, or, where a third argument says so, as far as that goes, because
# a package of each platform is named and a registry need not have those of all.
install() {
  local wanted stamp=$1/node_modules/.installed how=(ci)
  [[ -n ${3:-} ]] && how=(install --no-save)
  wanted=$(sha256sum "$1/package-lock.json" | cut -d' ' -f1)
  [[ -f $stamp && $(cat "$stamp") == "$wanted" ]] && return
  echo "interop: installing $2" >&2
  (cd "$1" && npm "${how[@]}" --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
  printf '%s' "$wanted" >"$stamp"
}

install sidecar "OpenAI's and Anthropic's clients"
if [[ ${CONFIDENTIALCHAT_SLOW:-} == 1 ]]; then
  install frameworks "the Vercel AI SDK and LangChain" # 100 MB
  install agents "opencode, Codex and Claude Code" loosely # 1.2 GB
  if [[ ! -f agents/node_modules/.placed ]]; then # their own scripts: the program for this machine, which is there, into its place
    (cd agents/node_modules/opencode-ai && node postinstall.mjs >&2)
    (cd agents/node_modules/@anthropic-ai/claude-code && node install.cjs >&2)
    touch agents/node_modules/.placed
  fi
fi

cd atoma

wanted=$(sha256sum package-lock.json | cut -d' ' -f1)
stamp=node_modules/.installed
[[ -f $stamp && $(cat "$stamp") == "$wanted" ]] && exit 0

echo "interop: installing the Atoma SDK" >&2
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2

# The SDK's hash is a native module. Its headers come from this machine, never from a download.
prefix=/usr
[[ -f $prefix/include/node/node.h ]] || prefix=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")
gyp="$(npm root --global)/npm/node_modules/node-gyp/bin/node-gyp.js"
[[ -f $gyp ]] || gyp=/usr/share/nodejs/node-gyp/bin/node-gyp.js
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! (cd node_modules/blake2 && node "$gyp" rebuild --nodedir="$prefix" >"$log" 2>&1); then
  cat "$log" >&2
  echo "error: the native hash of the Atoma SDK did not build" >&2
  echo "hint: apt-get install -y g++ make python3 libnode-dev" >&2
  exit 2
fi
printf '%s' "$wanted" >"$stamp"
