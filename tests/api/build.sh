#!/usr/bin/env bash
# Installs schemathesis, at pinned versions, once (half a minute), and prints the program. It needs Python 3.10 or newer
# with pip; without it, it prints nothing, after a note on stderr. ../cached.sh says where it is kept.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/cached.sh
. "$here/../cached.sh"

pins() {
  python3 --version
  cat "$0" "$here/requirements.txt"
}

build() {
  python_packages "$here/requirements.txt"
  # shellcheck disable=SC2016 # for the script that it becomes
  printf '#!/bin/sh\nPYTHONPATH="$(dirname "$0")/python" exec python3 -m schemathesis.cli "$@"\n' >"$made/schemathesis"
  chmod +x "$made/schemathesis"
}

if ! have api python3; then exit 0; fi
cached api
echo "$directory/schemathesis"
