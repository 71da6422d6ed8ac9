#!/usr/bin/env bash
# Builds h2spec at the version in go.mod, and prints the program. What an earlier run has built is used again.
#
# It is in ${SCALEGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/scalegate}/h2spec-<hash of the pins>, and needs Go. Without
# it, it prints nothing, after a note on stderr; where CI is set, that is an error.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache="${SCALEGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/scalegate}"

sha256() {
  if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -d ' ' -f 1
}

if ! command -v go >/dev/null; then
  echo "h2spec: there is no go" >&2
  if [ -n "${CI:-}" ]; then exit 1; fi
  exit 0
fi
key=$( (uname -sm; cat "${BASH_SOURCE[0]}" "$here/go.mod" "$here/go.sum") | sha256 | cut -c 1-16)
directory="$cache/h2spec-$key"
if [ ! -d "$directory" ]; then
  echo "h2spec: building it into $directory (once; half a minute)" >&2
  mkdir -p "$cache"
  made=$(mktemp -d "$cache/h2spec-new.XXXXXX")
  trap 'rm -rf "$made"' EXIT
  CGO_ENABLED=0 go build -C "$here" -trimpath -ldflags "-s -w" -o "$made/h2spec" "$(sed -n 's/^tool //p' "$here/go.mod")"
  # Of two runs at once, the first to rename wins.
  if [ ! -d "$directory" ]; then mv "$made" "$directory"; fi
fi
echo "$directory/h2spec"
