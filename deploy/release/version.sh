#!/usr/bin/env bash
# version.sh [TAG]: prints the version of the product, after checking that Cargo.toml and the chart agree on it, and with
# TAG also that the tag is `v` and this version, and that CHANGELOG.md has a section about it.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
wrong=0
# agree WHAT ITS-VERSION
agree() {
    if [ "$2" != "$version" ]; then
        echo "$1 is $2, but Cargo.toml says $version" >&2
        wrong=1
    fi
}
agree "version in charts/scalegate/Chart.yaml" "$(sed -n 's/^version: *//p' charts/scalegate/Chart.yaml | tr -d '"')"
agree "appVersion in charts/scalegate/Chart.yaml" "$(sed -n 's/^appVersion: *//p' charts/scalegate/Chart.yaml | tr -d '"')"
if [ $# -gt 0 ]; then
    agree "the tag $1" "${1#v}"
    if [ "$1" = "${1#v}" ]; then
        echo "the tag $1 does not begin with v" >&2
        wrong=1
    fi
    deploy/release/notes.sh "$version" >/dev/null || wrong=1
fi
[ "$wrong" -eq 0 ] || exit 1
echo "$version"
