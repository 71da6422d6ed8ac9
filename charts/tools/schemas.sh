#!/usr/bin/env bash
# Makes the schemas by which kubeconform judges the chart's objects, once, and prints the directory that holds them:
# <directory>/v1.36.3/KIND-GROUP-VERSION.json of each Kubernetes below, and <directory>/crds/GROUP/KIND_VERSION.json.
#
#   charts/tools/schemas.sh PYTHON-PACKAGES    with the packages of requirements.txt
#
# They are made from the OpenAPI description in Kubernetes' own Go module, and from the operators' CRDs in theirs, so that
# nothing is needed but the Go module proxy.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache="${SCALEGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/scalegate}"
export PYTHONPATH=${1:?"the directory of the Python packages"}

# The oldest and the newest Kubernetes that the chart supports, and the operators whose objects it makes; with the sums of
# their modules as go.sum has them.
kubernetes=(
  "v1.33.13 h1:bmH31xUdSzeA5vk0wZAK9MZp11mdLuzUSeKk0qN3hPQ="
  "v1.36.3 h1:qDQdoMiluAE2Eab6Fa52YV+WjiGz9mZFFoagEA6cI+o="
)
cert_manager="github.com/cert-manager/cert-manager@v1.21.2 h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68="
prometheus_operator="github.com/prometheus-operator/prometheus-operator@v0.85.0 h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s="

say() { echo "schemas: $*" >&2; }

sha256() {
  if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -d ' ' -f 1
}

# Prints the directory of a module, "PATH@VERSION SUM", whose sum is right.
module() {
  local answer
  answer=$(cd "$work" && go mod download -json "${1% *}") || {
    say "${1% *} cannot be downloaded: $answer"
    exit 1
  }
  case "$answer" in
  *"\"Sum\": \"${1#* }\""*) ;;
  *)
    say "${1% *} is not the module that is pinned here"
    exit 1
    ;;
  esac
  sed -n 's/^[[:space:]]*"Dir": "\(.*\)",$/\1/p' <<<"$answer"
}

make_schemas() {
  local pin version source
  for pin in "${kubernetes[@]}"; do
    version=${pin% *}
    source=$(module "k8s.io/kubernetes@$pin")
    python3 "$here/schemas.py" kubernetes "$source/api/openapi-spec/swagger.json" "$work/made/$version"
  done
  python3 "$here/schemas.py" crds "$work/made/crds" \
    "$(module "$cert_manager")/deploy/crds/cert-manager.io_certificates.yaml" \
    "$(module "$prometheus_operator")"/example/prometheus-operator-crd/monitoring.coreos.com_{servicemonitors,prometheusrules}.yaml
}

directory="$cache/schemas-$(cat "${BASH_SOURCE[0]}" "$here/schemas.py" | sha256 | cut -c 1-16)"
if [ ! -d "$directory" ]; then
  say "making the schemas of Kubernetes in $directory (once)"
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/schemas-new.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  make_schemas
  if [ ! -d "$directory" ]; then mv "$work/made" "$directory"; fi
fi
echo "$directory"
