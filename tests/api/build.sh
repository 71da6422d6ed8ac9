#!/usr/bin/env bash
# Installs schemathesis, at pinned versions, and prints the program. What an earlier run has installed is used again.
#
# It is in ${SCALEGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/scalegate}/api-<hash of the pins>, and needs Python 3.10 or
# newer with pip and venv. Without them it prints nothing, after a note on stderr; where CI is set, that is an error.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache="${SCALEGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/scalegate}"

sha256() {
  if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -d ' ' -f 1
}

if ! command -v python3 >/dev/null; then
  echo "api: there is no python3" >&2
  if [ -n "${CI:-}" ]; then exit 1; fi
  exit 0
fi
key=$( (uname -sm; python3 --version; cat "${BASH_SOURCE[0]}" "$here/requirements.txt") | sha256 | cut -c 1-16)
directory="$cache/api-$key"
if [ ! -d "$directory" ]; then
  echo "api: installing schemathesis into $directory (once; half a minute)" >&2
  mkdir -p "$cache"
  made=$(mktemp -d "$cache/api-new.XXXXXX")
  trap 'rm -rf "$made"' EXIT
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --only-binary :all: \
    --require-hashes --requirement "$here/requirements.txt" --target "$made/python" >&2
  # shellcheck disable=SC2016 # for the script that it becomes
  printf '#!/bin/sh\nPYTHONPATH="$(dirname "$0")/python" exec python3 -m schemathesis.cli "$@"\n' >"$made/schemathesis"
  chmod +x "$made/schemathesis"
  mv -T "$made" "$directory" 2>/dev/null || mv "$made" "$directory"
  trap - EXIT
fi
echo "$directory/schemathesis"
