#!/usr/bin/env bash
# Builds grpcurl, ghz and the clients of this directory, each at a pinned version, and prints the directory that holds
# them: grpcurl, ghz, go-client and python-client. What an earlier run has built is used again.
#
# It is ${SCALEGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/scalegate}/grpc-<hash of the pins and the sources>. It needs Go
# and Python 3.10 or newer with pip. Without one of them its programs are skipped, with a note on stderr; where CI is
# set, that is an error.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
proto="$here/../../gateway/proto"
cache="${SCALEGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/scalegate}"

say() { echo "grpc: $*" >&2; }

sha256() {
  if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -d ' ' -f 1
}

# Whether the machine has the program.
have() {
  if command -v "$1" >/dev/null; then return; fi
  say "there is no $1: what needs it is left out"
  if [ -n "${CI:-}" ]; then exit 1; fi
  return 1
}

sources() {
  cat "${BASH_SOURCE[0]}" "$here/requirements.txt" "$here/client.py" "$here"/go/* "$here"/tools/*/go.* \
    "$proto/scalegate/v1/replica_service.proto"
}

key() { (uname -sm; command -v go; python3 --version; sources) 2>&1 | sha256 | cut -c 1-16; }

build_go() {
  local tool
  for tool in grpcurl ghz; do
    say "building $tool"
    CGO_ENABLED=0 go build -C "$here/tools/$tool" -trimpath -ldflags "-s -w" -o "$made/$tool" \
      "$(sed -n 's/^tool //p' "$here/tools/$tool/go.mod")"
  done
  CGO_ENABLED=0 go build -C "$here/go" -trimpath -o "$made/go-client" .
}

build_python() {
  say "installing grpcio"
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --only-binary :all: --require-hashes \
    --requirement "$here/requirements.txt" --target "$made/python" >&2
  PYTHONPATH="$made/python" python3 -m grpc_tools.protoc --proto_path "$proto" --python_out "$made/python" \
    --grpc_python_out "$made/python" scalegate/v1/replica_service.proto
  cp "$here/client.py" "$made/python/"
  # shellcheck disable=SC2016 # for the script that it becomes
  printf '#!/bin/sh\nhere=$(dirname "$0")/python\nPYTHONPATH="$here" exec python3 "$here/client.py" "$@"\n' >"$made/python-client"
  chmod +x "$made/python-client"
}

directory="$cache/grpc-$(key)"
if [ ! -d "$directory" ]; then
  say "building the clients into $directory (once; a few minutes)"
  mkdir -p "$cache"
  made=$(mktemp -d "$cache/grpc-new.XXXXXX")
  trap 'rm -rf "$made"' EXIT
  if have go; then build_go; fi
  if have python3; then build_python; fi
  # Of two runs at once, the first to rename wins.
  if [ ! -d "$directory" ]; then mv "$made" "$directory"; fi
fi
echo "$directory"
