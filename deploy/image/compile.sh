#!/usr/bin/env bash
# compile.sh [PROGRAM...]: compiles programs, or all that are released, into target/release: the same bytes wherever the
# sources, the crates and the compiler lie. Needs cargo-auditable, which puts the list of dependencies into the program,
# where scanners find it.
set -euo pipefail
cd "$(dirname "$0")/../.."

cargo_home=${CARGO_HOME:-$HOME/.cargo}
# Panic messages, and the C sources of the cryptographic library, name their files.
export RUSTFLAGS="--remap-path-prefix=$PWD=/scalegate --remap-path-prefix=$cargo_home=/cargo"
export CFLAGS="-ffile-prefix-map=$PWD=/scalegate -ffile-prefix-map=$cargo_home=/cargo"
# A compiler wrapper would add paths of its own.
unset RUSTC_WRAPPER
[ $# -gt 0 ] || set -- scalegate certs
exec cargo auditable build --locked --release "${@/#/--bin=}"
