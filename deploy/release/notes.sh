#!/usr/bin/env bash
# notes.sh VERSION: prints what CHANGELOG.md says about a version, without its heading. An error if it says nothing.
#
#   CHANGELOG=CHANGELOG.md   another file
set -euo pipefail
cd "$(dirname "$0")/../.."

version=${1:-}
changelog=${CHANGELOG:-CHANGELOG.md}
if [ $# -ne 1 ] || [ -z "$version" ]; then
    echo "usage: deploy/release/notes.sh VERSION" >&2
    exit 2
fi
# `## 1.2.3`, `## 1.2.3 - 2026-12-01` and `## [1.2.3] - 2026-12-01` are its heading; the next one ends it, and so do the
# definitions of links at the end of the file.
notes=$(awk -v version="$version" '
    /^## / { heading = $2; gsub(/[][]/, "", heading); inside = heading == version; next }
    /^\[[^]]*\]: / { inside = 0 }
    inside { print }
' "$changelog" | sed -e '/./,$!d')
if [ -z "$notes" ]; then
    echo "$changelog has no section \"## $version\", or nothing in it" >&2
    exit 1
fi
printf '%s\n' "$notes"
