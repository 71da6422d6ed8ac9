#!/usr/bin/env bash
# Builds h2spec at the version in go.mod, once (half a minute), and prints the program. It needs Go; without it, it prints
# nothing, after a note on stderr. ../cached.sh says where it is kept.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/cached.sh
. "$here/../cached.sh"

pins() { cat "$0" "$here/go.mod" "$here/go.sum"; }
build() { go_tool "$here" h2spec; }

if ! have h2spec go; then exit 0; fi
cached h2spec
echo "$directory/h2spec"
