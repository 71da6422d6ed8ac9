#!/usr/bin/env bash
# Packages the chart into target/release-files/scalegate-VERSION.tgz. `make chart-package` calls it.
#
#   CHART_IMAGE   the image in its values, without a tag, which is the chart's appVersion; without it, as they stand
set -euo pipefail
cd "$(dirname "$0")/../.."

version=$(deploy/release/version.sh)
helm=$(charts/tools/install.sh)/helm
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -R charts/scalegate "$work/scalegate"
if [ -n "${CHART_IMAGE:-}" ]; then
    sed "s|^  repository: scalegate\$|  repository: $CHART_IMAGE|" charts/scalegate/values.yaml >"$work/scalegate/values.yaml"
    grep -qxF "  repository: $CHART_IMAGE" "$work/scalegate/values.yaml" || { echo "values.yaml has no image to replace" >&2; exit 1; }
fi
mkdir -p target/release-files
"$helm" package "$work/scalegate" --destination target/release-files >&2
echo "target/release-files/scalegate-$version.tgz"
