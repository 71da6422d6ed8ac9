#!/usr/bin/env bash
# Writes the bill of materials of the released programs, CycloneDX 1.5 in JSON, for the platform PLATFORM (this machine's
# unless given): target/release-files/{scalegate,certs}-VERSION-PLATFORM.cdx.json. `make sbom` calls it.
#
# cargo-cyclonedx is installed once, at the version pinned here, into the cache that clones share.
set -euo pipefail
cd "$(dirname "$0")/../.."

pinned=0.5.9
cache=${SCALEGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/scalegate}/cyclonedx-$pinned
if [ ! -x "$cache/bin/cargo-cyclonedx" ]; then
    echo "sbom: installing cargo-cyclonedx $pinned into $cache (once; a minute or two)" >&2
    build=$(mktemp -d)
    trap 'rm -rf "$build"' EXIT
    CARGO_TARGET_DIR=$build cargo install --quiet --locked --root "$cache" --version "$pinned" cargo-cyclonedx >&2
fi

version=$(deploy/release/version.sh)
platform=${PLATFORM:-$(rustc -vV | sed -n 's/^host: //p')}
files=target/release-files
mkdir -p "$files"
# It writes beside each manifest of the workspace.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)} PATH=$cache/bin:$PATH \
    cargo cyclonedx --quiet --format json --spec-version 1.5 --describe binaries --target "$platform"
for program in scalegate certs; do
    made=$(find gateway certs -maxdepth 1 -name "${program}_bin.cdx.json")
    [ -f "$made" ] || { echo "sbom: there is none of $program" >&2; exit 1; }
    # Where the sources lie must not show, as in the program itself.
    sed "s|file://$PWD|file:///scalegate|g" "$made" >"$files/$program-$version-$platform.cdx.json"
    echo "$files/$program-$version-$platform.cdx.json"
done
find gateway certs tests bench -maxdepth 1 -name '*.cdx.json' -exec rm {} +
