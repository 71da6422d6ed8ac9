#!/usr/bin/env bash
# Builds grpcurl, ghz and the clients of this directory, each at a pinned version, and prints the directory that holds
# them: grpcurl, ghz, go-client and python-client. What an earlier run has built is used again.
#
# It needs Go and Python 3.10 or newer with pip. Without one of them its programs are left out, with a note on stderr.
# ../cached.sh says where they are kept.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
proto="$here/../../gateway/proto"
# shellcheck source=tests/cached.sh
. "$here/../cached.sh"

pins() {
  command -v go
  python3 --version
  cat "$0" "$here/requirements.txt" "$here/client.py" "$here"/go/* "$here"/tools/*/go.* \
    "$proto/scalegate/v1/replica_service.proto"
}

build_go() {
  local tool
  for tool in grpcurl ghz; do
    go_tool "$here/tools/$tool" "$tool"
  done
  CGO_ENABLED=0 go build -C "$here/go" -trimpath -o "$made/go-client" .
}

build_python() {
  python_packages "$here/requirements.txt"
  PYTHONPATH="$made/python" python3 -m grpc_tools.protoc --proto_path "$proto" --python_out "$made/python" \
    --grpc_python_out "$made/python" scalegate/v1/replica_service.proto
  cp "$here/client.py" "$made/python/"
  # shellcheck disable=SC2016 # for the script that it becomes
  printf '#!/bin/sh\nhere=$(dirname "$0")/python\nPYTHONPATH="$here" exec python3 "$here/client.py" "$@"\n' >"$made/python-client"
  chmod +x "$made/python-client"
}

build() {
  if have grpc go; then build_go; fi
  if have grpc python3; then build_python; fi
}

cached grpc
echo "$directory"
