#!/usr/bin/env bash
# pack.sh NAME PROGRAMS FILES: packs `scalegate` and `certs` of the directory PROGRAMS, the licence and the changelog into
# FILES/NAME.tar.gz, with its SHA-256 beside it, and prints its path. make binaries calls it.
#
#   SOURCE_DATE_EPOCH   the time that the files have; without it, that of the last commit
set -euo pipefail

name=${1:?the archive, without .tar.gz}
programs=$(cd "${2:?the directory of the programs}" && pwd)
mkdir -p "${3:?where the archive goes}"
files=$(cd "$3" && pwd)
cd "$(dirname "$0")/../.."

rm -rf "${files:?}/$name"
mkdir "$files/$name"
cp "$programs/scalegate" "$programs/certs" LICENSE CHANGELOG.md "$files/$name/"

# Every build gives the same bytes: one time, one owner, one order. BSD's touch and tar take other options for this.
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
time=$(date -u -d "@$epoch" +%Y%m%d%H%M.%S 2>/dev/null || date -u -r "$epoch" +%Y%m%d%H%M.%S)
chmod 755 "$files/$name" "$files/$name/scalegate" "$files/$name/certs"
chmod 644 "$files/$name/LICENSE" "$files/$name/CHANGELOG.md"
TZ=UTC touch -t "$time" "$files/$name"/* "$files/$name"
owner=(--owner=0 --group=0 --numeric-owner)
if tar --version | grep -q bsdtar; then owner=(--uid 0 --gid 0 --numeric-owner); fi
cd "$files"
tar --format ustar "${owner[@]}" -cf - "$name"/CHANGELOG.md "$name"/LICENSE "$name"/certs "$name"/scalegate | gzip -n9 >"$name.tar.gz"
rm -r "$name"
if command -v sha256sum >/dev/null; then sha256sum "$name.tar.gz"; else shasum -a 256 "$name.tar.gz"; fi >"$name.tar.gz.sha256"
echo "$files/$name.tar.gz"
