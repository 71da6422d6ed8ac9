#!/usr/bin/env bash
# Checks the chart without a cluster.
#
#   charts/test.sh            every values file in ci/ is linted, and what it renders compared with snapshots/ and with the
#                             schemas of the oldest and newest Kubernetes; every one in refusals/ is refused with the words
#                             of its first line; README.md is what helm-docs makes of values.yaml; alerts fire when
#                             tools/alerts/cases.yaml says so
#   charts/test.sh --update   writes snapshots/ and README.md anew; read the difference before you commit it
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
chart="$here/scalegate"
kubernetes=(1.33.13 1.36.3)
# Helm asks Chart.yaml whether it supports this one.
rendered_for=1.36.3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

say() { echo "chart: $*" >&2; }

fail() {
  say "FAILED: $*"
  failures=$((failures + 1))
}

# True if the tool is there; else it was skipped by name.
has() {
  if [ -x "$tools/$1" ]; then return 0; fi
  say "skipped, without $1: $2"
  return 1
}

render() { "$tools/helm" template scalegate "$chart" --namespace scalegate --kube-version "$rendered_for" --values "$1"; }

# What Helm says after installing.
notes() {
  "$tools/helm" install scalegate "$chart" --namespace scalegate --dry-run=client --values "$1" | sed '1,/^NOTES:$/d'
}

check_values() {
  local values=$1 name
  name=$(basename "$values" .yaml)
  "$tools/helm" lint --strict --quiet --namespace scalegate --kube-version "$rendered_for" --values "$values" "$chart" >"$work/lint" 2>&1 ||
    fail "helm lint of ci/$name.yaml: $(cat "$work/lint")"
  if ! render "$values" >"$work/$name.yaml" 2>"$work/errors"; then
    fail "ci/$name.yaml does not render: $(cat "$work/errors")"
    return
  fi
  notes "$values" >"$work/$name.txt"
  local file
  for file in "$name.yaml" "$name.txt"; do
    if [ "$update" = yes ]; then cp "$work/$file" "$chart/snapshots/$file"; fi
    diff -u "$chart/snapshots/$file" "$work/$file" >&2 ||
      fail "ci/$name.yaml renders something else than snapshots/$file; if that is meant: make chart-snapshots"
  done
  rendered+=("$work/$name.yaml")
}

check_refusal() {
  local values=$1 expected
  expected=$(sed -n '1s/^# expects: //p' "$values")
  [ -n "$expected" ] || fail "$values begins with no '# expects: '"
  if render "$values" >/dev/null 2>"$work/errors"; then
    fail "$values is accepted; it should be refused with: $expected"
  elif ! grep -qF -- "$expected" "$work/errors"; then
    fail "$values is refused, but not with: $expected"
    cat "$work/errors" >&2
  fi
}

check_schemas() {
  local version schemas
  schemas=$("$here/tools/schemas.sh" "$tools/../python")
  for version in "${kubernetes[@]}"; do
    "$tools/kubeconform" -strict -kubernetes-version "$version" \
      -schema-location "$schemas/{{.NormalizedKubernetesVersion}}/{{.ResourceKind}}{{.KindSuffix}}.json" \
      -schema-location "$schemas/crds/{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json" \
      "${rendered[@]}" >&2 || fail "objects that Kubernetes $version would refuse"
  done
}

check_readme() {
  "$tools/helm-docs" --chart-search-root "$chart" --dry-run --log-level warning >"$work/README.md"
  if [ "$update" = yes ]; then cp "$work/README.md" "$chart/README.md"; fi
  diff -u "$chart/README.md" "$work/README.md" >&2 || fail "README.md is not that of values.yaml: make chart-snapshots"
}

check_alerts() {
  # -count=1, since go would not notice a change of the files that it reads.
  go -C "$here/tools/alerts" test -count=1 ./... >"$work/alerts" 2>&1 || fail "the alerts: $(cat "$work/alerts")"
}

case "${1:-}" in
"") update=no ;;
--update) update=yes ;;
*)
  say "usage: charts/test.sh [--update]"
  exit 2
  ;;
esac

tools=$("$here/tools/install.sh")
rendered=()
if has helm "lint, snapshots, refusals and schemas"; then
  for values in "$chart"/ci/*.yaml; do check_values "$values"; done
  for values in "$chart"/refusals/*.yaml; do check_refusal "$values"; done
  if has kubeconform "schemas" && [ -d "$tools/../python" ]; then check_schemas; fi
fi
if has helm-docs "README.md"; then check_readme; fi
case " ${SCALEGATE_LINT_SKIP:-} " in
*" alerts "*) say "skipped: when the alerts fire" ;;
*) check_alerts ;;
esac
[ "$failures" -eq 0 ] || exit 1
say "${#rendered[@]} values files render as they should"
