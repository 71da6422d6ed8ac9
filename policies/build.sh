#!/usr/bin/env bash
# Compiles the example policy with the OPA that policies/tools/go.mod pins.
#
#   policies/build.sh          target/policies/scalegate.wasm and, for `make dev`, a directory per variant
#                              of the development policy: target/policies/{normal,freeze}/policies.yaml
#   policies/build.sh --test   formatting, strict checks, tests, and the examples' verdicts
#   policies/build.sh --write-verdicts
#                              the verdicts of rego/examples anew; read the difference before you commit it
#
#   policies/build.sh --opa    prints the path of the pinned OPA, for commands of your own
#
# OPA is built once into ${SCALEGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/scalegate}/opa; $OPA names another one.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out="$here/../target/policies"
cache="${SCALEGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/scalegate}/opa"
build_flags=(-trimpath -ldflags "-s -w" -tags opa_wasm)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { echo "policies: $*" >&2; }

die() {
  say "$*"
  exit 1
}

sha256() {
  if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -d ' ' -f 1
}

# Prints the path of the pinned OPA, building it if no earlier run has. Two runs at once both build; the renames make
# the last one's file whole at every moment.
opa_path() {
  command -v go >/dev/null || die "go is needed once, to build OPA (https://go.dev/doc/install), or set OPA to an opa binary"
  local key binary
  key=$( (cat "$here/tools/go.mod" "$here/tools/go.sum" && go env GOOS GOARCH && echo "${build_flags[@]}") | sha256 | cut -c 1-16)
  binary="$cache/$key/opa"
  if [ ! -x "$binary" ]; then
    say "building OPA into $binary (once; about two minutes)"
    mkdir -p "$cache/$key"
    local made="$cache/$key/opa.$$"
    CGO_ENABLED=0 go build -C "$here/tools" "${build_flags[@]}" -o "$made" \
      github.com/open-policy-agent/opa
    mv "$made" "$binary"
    say "built OPA"
  fi
  echo "$binary"
}

# Puts a file in place whole, and only when it is new: whoever watches the directory sees no needless change.
install_file() {
  if cmp -s "$1" "$2"; then return; fi
  mkdir -p "$(dirname "$2")"
  cp "$1" "$2.$$"
  mv "$2.$$" "$2"
}

# The sources by their names alone: paths would enter the module and make its digest depend on the clone.
modules() {
  (cd "$here/rego" && for file in *.rego; do case "$file" in *_test.rego) ;; *) echo "$file" ;; esac; done)
}

# -O0, since optimising without the data at hand changes answers (README.md, "Pitfalls").
build_module() {
  # shellcheck disable=SC2046 # the names of our own files, without blanks
  (cd "$here/rego" && "$opa" build --target wasm --optimize 0 --entrypoint scalegate/verdict \
    --output "$work/bundle.tar.gz" $(modules))
  tar -xzPOf "$work/bundle.tar.gz" /policy.wasm >"$work/scalegate.wasm"
}

build() {
  build_module
  local digest variant
  digest=$(sha256 <"$work/scalegate.wasm")
  install_file "$work/scalegate.wasm" "$out/scalegate.wasm"
  for variant in normal freeze; do
    sed "s/@SHA256@/$digest/" "$here/dev/$variant.yaml" >"$work/$variant.yaml"
    install_file "$work/scalegate.wasm" "$out/$variant/scalegate.wasm"
    install_file "$work/$variant.yaml" "$out/$variant/policies.yaml"
  done
  say "target/policies/scalegate.wasm  sha256 $digest"
  say "target/policies/normal, target/policies/freeze: ready to serve"
}

# shellcheck source=policies/test.sh
source "$here/test.sh"

opa="${OPA:-}"
[ -n "$opa" ] || opa=$(opa_path)
case "${1:-}" in
"") build ;;
--test) run_tests ;;
--write-verdicts) write_verdicts ;;
--opa) echo "$opa" ;;
*) die "usage: policies/build.sh [--test | --write-verdicts | --opa]" ;;
esac
