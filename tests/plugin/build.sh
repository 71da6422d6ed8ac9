#!/usr/bin/env bash
# Builds kubectl and krew at the versions in their go.mod, once (some minutes), and prints the directory that holds them.
# It needs Go; without it, it prints nothing, after a note on stderr. ../cached.sh says where they are kept.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/cached.sh
. "$here/../cached.sh"

pins() { cat "$0" "$here"/*/go.mod "$here"/*/go.sum "$here/kubectl/main.go"; }

build() {
  local version
  version=$(sed -n 's/^\tk8s.io\/kubectl //p' "$here/kubectl/go.mod")
  CGO_ENABLED=0 go build -C "$here/kubectl" -trimpath -o "$made/kubectl" \
    -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version" .
  go_tool "$here/krew" krew
}

if ! have plugin go; then exit 0; fi
cached plugin
echo "$directory"
