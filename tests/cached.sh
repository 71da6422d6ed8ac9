# Sourced by the build.sh of tools: keeps what one has built, for all clones on this machine.
#
# It is in ${SCALEGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/scalegate}/NAME-<hash of the pins>.
# shellcheck shell=bash

sha256() {
  if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -d ' ' -f 1
}

# have NAME PROGRAM: whether this machine has the program. Without it, a note on stderr says so; where CI is set, that is an error.
have() {
  if command -v "$2" >/dev/null; then return; fi
  echo "$1: there is no $2: what needs it is left out" >&2
  if [ -n "${CI:-}" ]; then exit 1; fi
  return 1
}

# cached NAME: sets `directory` to what the caller's function `build` has put into $made, now or in an earlier run. The
# caller's function `pins` prints everything that goes into a build.
cached() {
  local cache="${SCALEGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/scalegate}" key
  key=$( (uname -sm; cat "${BASH_SOURCE[0]}"; pins) 2>&1 | sha256 | cut -c 1-16)
  directory="$cache/$1-$key"
  if [ -d "$directory" ]; then return; fi
  echo "$1: building into $directory, once" >&2
  mkdir -p "$cache"
  made=$(mktemp -d "$cache/$1-new.XXXXXX")
  trap 'rm -rf "$made"' EXIT
  build
  # Of two runs at once, the first to rename wins.
  if [ ! -d "$directory" ]; then mv "$made" "$directory"; fi
}

# go_tool DIRECTORY NAME: builds the tool of the Go module in DIRECTORY, as NAME.
go_tool() {
  CGO_ENABLED=0 go build -C "$1" -trimpath -ldflags "-s -w" -o "$made/$2" "$(sed -n 's/^tool //p' "$1/go.mod")"
}

# python_packages FILE: installs the pinned packages of FILE into $made/python.
python_packages() {
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --only-binary :all: \
    --require-hashes --requirement "$1" --target "$made/python" >&2
}
