#!/usr/bin/env bash
# Builds llama.cpp's own server where it is missing, from the source inside the npm package node-llama-cpp, and prints its path.
# Ten minutes the first time; kept in ~/.cache/confidentialchat (XDG_CACHE_HOME).
set -euo pipefail

version=3.22.1
integrity=6e5b488a9b9699cd76dc7eed30880318a4ac4ab866865418795502e3c5d38d55bb5c624988927209d95333343f2e25a83e4183a5c2f816f883a60c3ba9f4e20f # SHA-512 of the package, hexadecimal
cache=${XDG_CACHE_HOME:-$HOME/.cache}/confidentialchat/llama-server/$version
server=$cache/llama-server
if [[ -x $server ]]; then
  echo "$server"
  exit 0
fi

for tool in npm git cmake g++ make; do
  command -v "$tool" >/dev/null || { echo "error: building llama-server needs $tool" >&2; echo "hint: apt-get install -y npm git cmake g++ make" >&2; exit 2; }
done

mkdir -p "$cache"
work=$(mktemp -d "$cache/.building.XXXXXX")
trap 'rm -rf "$work"' EXIT
log=$cache/build.log
echo "llama-server: fetching and building; this takes ten minutes, and is done once (log: $log)" >&2
(
  cd "$work"
  npm pack --silent "node-llama-cpp@$version"
  printf '%s  %s\n' "$integrity" "node-llama-cpp-$version.tgz" | sha512sum --check --quiet
  tar -xzf "node-llama-cpp-$version.tgz" package/llama/gitRelease.bundle
  git clone --quiet package/llama/gitRelease.bundle source
  cmake -S source -B build -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
    -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_USE_PREBUILT_UI=OFF
  cmake --build build --target llama-server --parallel "$(nproc)"
) >"$log" 2>&1 || { tail -n 40 "$log" >&2; echo "error: llama-server did not build" >&2; echo "hint: the whole log is $log" >&2; exit 1; }
mv "$work/build/bin/llama-server" "$server"
echo "$server"
