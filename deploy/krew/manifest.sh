#!/usr/bin/env bash
# manifest.sh ARCHIVE [URI]: prints the krew manifest for an archive of `make binaries`, scalegate-VERSION-PLATFORM.tar.gz.
#
#   deploy/krew/manifest.sh target/release-files/scalegate-0.1.0-x86_64-unknown-linux-gnu.tar.gz >scalegate.yaml
#   kubectl krew install --manifest=scalegate.yaml --archive=target/release-files/scalegate-0.1.0-x86_64-unknown-linux-gnu.tar.gz
#
# URI is where others download the archive; without it, the manifest takes an archive that is there already.
set -euo pipefail

archive=${1:?an archive of make binaries}
uri=${2:-file://$(CDPATH='' cd -- "$(dirname -- "$archive")" && pwd)/$(basename -- "$archive")}
name=$(basename -- "$archive" .tar.gz)
if [[ ! $name =~ ^scalegate-([0-9A-Za-z.+-]+)-((x86_64|aarch64)-[a-z_]+-([a-z0-9_-]+))$ ]]; then
    echo "not the name of an archive of make binaries, scalegate-VERSION-PLATFORM.tar.gz: $archive" >&2
    exit 2
fi
version=${BASH_REMATCH[1]} platform=${BASH_REMATCH[2]}
case $platform in
    x86_64-*) arch=amd64 ;;
    *) arch=arm64 ;;
esac
case $platform in
    *-linux-*) os=linux ;;
    *-darwin) os=darwin ;;
    *)
        echo "krew has no platform $platform" >&2
        exit 2
        ;;
esac
if command -v sha256sum >/dev/null; then sum=$(sha256sum "$archive"); else sum=$(shasum -a 256 "$archive"); fi
case $uri in
    *'"'* | *\\* | *$'\n'*)
        echo "the manifest cannot name this place: $uri" >&2
        exit 2
        ;;
esac
# What sed would take for its own.
uri=$(printf '%s' "$uri" | sed 's/[&|]/\\&/g')
sed -e "s|@VERSION@|v${version#v}|; s|@OS@|$os|; s|@ARCH@|$arch|; s|@URI@|$uri|; s|@SHA256@|${sum%% *}|" \
    "$(dirname "$0")/scalegate.yaml"
