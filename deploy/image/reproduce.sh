#!/usr/bin/env bash
# Builds the image of the last commit twice, from clones in different directories, with the sources at different places
# during the build and no layer used again, and compares the programs and the images byte by byte.
set -euo pipefail
cd "$(dirname "$0")/../.."

sha256() {
    if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi
}

# programs ARCHIVE DIRECTORY: the programs in the image's layers, unpacked.
programs() {
    local layer
    mkdir -p "$2/layers"
    tar -xf "$1" -C "$2/layers"
    find "$2/layers" -type f | while read -r layer; do
        # Read to the end: a grep that leaves early would fail tar, and so the pipe.
        if tar -tf "$layer" 2>/dev/null | grep -x '\(\./\)\{0,1\}usr/local/bin/scalegate' >/dev/null; then
            tar -xf "$layer" -C "$2"
        fi
    done
    sha256 "$2"/usr/local/bin/* | sed 's|  .*/|  |'
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Both before the first build: a commit made meanwhile would be in one of them alone.
places=(one another/and/deeper)
for place in "${places[@]}"; do git clone --quiet --local . "$work/$place"; done
number=0
for place in "${places[@]}"; do
    number=$((number + 1))
    echo "building in .../$place, sources at /$place" >&2
    NO_CACHE=1 SOURCE="/$place" IMAGE=scalegate:reproduce "$work/$place/deploy/image/build.sh" "$work/$number.tar" \
        >"$work/$number.digest"
    programs "$work/$number.tar" "$work/unpacked-$number" >"$work/$number.programs"
    cat "$work/$number.programs" "$work/$number.digest"
done
if ! cmp -s "$work/1.programs" "$work/2.programs" || ! cmp -s "$work/1.digest" "$work/2.digest"; then
    echo "the two builds differ" >&2
    exit 1
fi
echo "both builds are the same, byte by byte"
