#!/usr/bin/env bash
# deny.sh [CHECK...]: `cargo deny check` by deny.toml, of all (advisories, bans, licenses, sources) unless given.
# `make deny` and `make lint` call it; advisories need a network that reaches RustSec's database.
#
# cargo-deny is installed once, at the version pinned here, into the cache that clones share.
set -euo pipefail
cd "$(dirname "$0")/../.."

pinned=0.20.2
cache=${SCALEGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/scalegate}/cargo-deny-$pinned
if [ ! -x "$cache/bin/cargo-deny" ]; then
    echo "deny: installing cargo-deny $pinned into $cache (once; a few minutes)" >&2
    build=$(mktemp -d)
    trap 'rm -rf "$build"' EXIT
    CARGO_TARGET_DIR=$build cargo install --quiet --locked --root "$cache" --version "$pinned" cargo-deny >&2
fi
PATH=$cache/bin:$PATH exec cargo deny --log-level error check "$@"
