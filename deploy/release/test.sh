#!/usr/bin/env bash
# Checks the scripts of a release. `make lint` calls it.
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CHANGELOG="$work/CHANGELOG.md"
cat >"$CHANGELOG" <<'TEXT'
# Changelog

## Unreleased

### Added

- What comes next.

## [1.10.0] - 2026-12-01

### Added

- A thing.

### Fixed

- Another.

## 1.1.0

- The first.

## 1.0.0

[1.10.0]: https://example.org/1.10.0
TEXT

fail() {
    echo "release: FAILED: $*" >&2
    exit 1
}
# says VERSION TEXT
says() {
    [ "$(deploy/release/notes.sh "$1")" = "$2" ] || fail "the notes of $1 are: $(deploy/release/notes.sh "$1")"
}
says 1.10.0 $'### Added\n\n- A thing.\n\n### Fixed\n\n- Another.'
says 1.1.0 '- The first.'
says Unreleased $'### Added\n\n- What comes next.'
# A version without a section, one that is the beginning of another's, an empty section, none.
for version in 2.0.0 1.1 1.10 1.0.0 ""; do
    if deploy/release/notes.sh "$version" >/dev/null 2>&1; then fail "there are notes of \"$version\""; fi
done

version=$(deploy/release/version.sh) || fail "the versions do not agree"
printf '## %s\n\n- All of it.\n' "$version" >"$CHANGELOG"
[ "$(deploy/release/version.sh "v$version")" = "$version" ] || fail "v$version is refused"
for tag in "$version" "v$version.1" v0; do
    if deploy/release/version.sh "$tag" >/dev/null 2>&1; then fail "the tag $tag is accepted"; fi
done
: >"$CHANGELOG"
if deploy/release/version.sh "v$version" >/dev/null 2>&1; then fail "a version without notes is accepted"; fi
echo "release: its scripts do what they should" >&2
