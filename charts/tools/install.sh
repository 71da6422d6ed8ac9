#!/usr/bin/env bash
# Installs the programs of `make lint` that are not Rust's, at the versions pinned here, and prints the directory that
# holds them. What an earlier run has installed is used again.
#
#   charts/tools/install.sh    helm, kubeconform, helm-docs, actionlint and buf (each a Go module beside this file), and
#                              yamllint, hadolint and shellcheck (requirements.txt)
#
# They go into ${SCALEGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/scalegate}/tools-<hash of the pins>. It needs Go and
# Python 3.10 or newer with pip. A program that cannot be installed is an error, unless SCALEGATE_LINT_SKIP names it
# (names with a blank between): then its checks are left out, and each says so. charts/test.sh knows `alerts` there too.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache="${SCALEGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/scalegate}"
skip=" ${SCALEGATE_LINT_SKIP:-} "
go_tools=(helm kubeconform helm-docs actionlint buf)
python_tools=(yamllint hadolint shellcheck)

say() { echo "tools: $*" >&2; }

die() {
  say "$*"
  exit 1
}

sha256() {
  if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -d ' ' -f 1
}

# True if the program may be missing.
skipped() { case "$skip" in *" $1 "*) true ;; *) false ;; esac; }

all_skipped() {
  local name
  for name in "$@"; do skipped "$name" || return 1; done
}

# The programs for this machine; those that are skipped make another directory, so that they come back later.
key() {
  local name
  (
    uname -sm
    echo "$skip"
    cat "${BASH_SOURCE[0]}" "$here/requirements.txt"
    for name in "${go_tools[@]}"; do cat "$here/$name/go.mod" "$here/$name/go.sum"; done
  ) | sha256 | cut -c 1-16
}

install_go_tool() {
  local name=$1 package
  if skipped "$name"; then return; fi
  command -v go >/dev/null || die "go is needed to build $name (https://go.dev/doc/install), or SCALEGATE_LINT_SKIP=$name"
  package=$(sed -n 's/^tool //p' "$here/$name/go.mod")
  say "building $name"
  CGO_ENABLED=0 go build -C "$here/$name" -trimpath -ldflags "-s -w" -o "$made/bin/$name" "$package" ||
    die "$name cannot be built; without it: SCALEGATE_LINT_SKIP=$name"
}

# Into a directory rather than a virtual environment, which could not be renamed. Without yamllint there is no PyYAML
# either, which schemas.py needs.
install_python_tools() {
  local name
  if all_skipped "${python_tools[@]}"; then return; fi
  say "installing ${python_tools[*]}"
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --only-binary :all: --require-hashes \
    --requirement "$here/requirements.txt" --target "$made/python" >&2 ||
    die "they cannot be installed with pip; without them: SCALEGATE_LINT_SKIP='${python_tools[*]}'"
  for name in hadolint shellcheck; do
    if ! skipped "$name"; then ln -s "../python/bin/$name" "$made/bin/$name"; fi
  done
  if ! skipped yamllint; then
    # shellcheck disable=SC2016 # for the script that it becomes
    printf '#!/bin/sh\nPYTHONPATH="$(dirname "$0")/../python" exec python3 -m yamllint "$@"\n' >"$made/bin/yamllint"
    chmod +x "$made/bin/yamllint"
  fi
}

directory="$cache/tools-$(key)"
if [ ! -d "$directory" ]; then
  say "installing the lint tools into $directory (once; a few minutes)"
  mkdir -p "$cache"
  # Two runs at once both build; the first to rename wins.
  made=$(mktemp -d "$cache/tools-new.XXXXXX")
  trap 'rm -rf "$made"' EXIT
  mkdir "$made/bin"
  for name in "${go_tools[@]}"; do install_go_tool "$name"; done
  install_python_tools
  if [ ! -d "$directory" ]; then mv "$made" "$directory"; fi
fi
echo "$directory/bin"
