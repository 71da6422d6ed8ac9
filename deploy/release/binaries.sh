#!/usr/bin/env bash
# Compiles the programs for this machine's platform as the image's are compiled, into
# target/release-files/scalegate-VERSION-PLATFORM.tar.gz, with its SHA-256 beside it. `make binaries` calls it.
#
#   SOURCE_DATE_EPOCH   the time that the files have; without it, that of the last commit
set -euo pipefail
cd "$(dirname "$0")/../.."

if ! command -v cargo-auditable >/dev/null; then
    pinned=$(sed -n 's/^ARG CARGO_AUDITABLE=//p' deploy/image/Dockerfile)
    echo "cargo-auditable is missing: cargo install --locked --version $pinned cargo-auditable" >&2
    exit 1
fi
version=$(deploy/release/version.sh)
platform=$(rustc -vV | sed -n 's/^host: //p')

deploy/image/compile.sh
deploy/release/pack.sh "scalegate-$version-$platform" "${CARGO_TARGET_DIR:-target}/release" target/release-files
