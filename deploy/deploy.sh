#!/usr/bin/env bash
# deploy.sh [check]: installs the chart, or upgrades it, on the cluster of the current kubeconfig, with the development
# certificates of `make certs` and the example policy of `make policies`. `make deploy` and `make kind-deploy` call it.
# With `check`, it only looks whether there is what it, and what it needs, will need.
#
#   IMAGE=scalegate:dev     the image, which the cluster's nodes must have or be able to pull
#   NAMESPACE=scalegate     where it is installed
#   POLICIES=normal         which set of rules under target/policies
#   HELM_FLAGS              more flags for `helm upgrade`, such as --force-conflicts after an edit by kubectl
#   VALUES                  more files of values for the chart
#   SERVER                  where clients reach the gateway, such as https://localhost:8443: with it, contexts of the
#                           client are written, as deploy/contexts.sh says
#   CONTEXT                 the name of the first of them: that of NAMESPACE
#   CONTEXTS                their file: target/deploy/scalegate.yaml
#   CONTEXT_NAMESPACE       where names are that have no namespace
set -euo pipefail
cd "$(dirname "$0")/.."

image=${IMAGE:-scalegate:dev}
namespace=${NAMESPACE:-scalegate}
certs=${CERTS_DIR:-certs/dev}
missing=()
for program in kubectl helm go cargo; do
    command -v "$program" >/dev/null || missing+=("$program")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "missing: ${missing[*]}" >&2
    exit 1
fi
if ! kubectl version >/dev/null 2>&1; then
    echo "no cluster answers: kubectl version says why (make kind-up makes one)" >&2
    exit 1
fi
if [ "${1:-}" = check ]; then exit; fi
rules=target/policies/${POLICIES:-normal}/policies.yaml
if [ ! -f "$rules" ]; then
    echo "POLICIES is ${POLICIES:-normal}, but there is no $rules; there are: $(cd target/policies && echo */)" >&2
    exit 2
fi
echo "installing on $(kubectl config current-context), namespace $namespace" >&2

# Objects with keys or programs in them are applied by the server: `kubectl apply` would repeat them in an annotation.
apply() {
    kubectl create "$@" --dry-run=client --output yaml |
        kubectl apply --server-side --force-conflicts --field-manager=scalegate-deploy -f - >&2
}
apply namespace "$namespace"
kubectl label namespace "$namespace" --overwrite pod-security.kubernetes.io/enforce=restricted >&2
apply secret generic scalegate-tls --namespace "$namespace" \
    --from-file=tls.crt="$certs/server.pem" --from-file=tls.key="$certs/server-key.pem" \
    --from-file=ca.crt="$certs/ca.pem" --from-file=crl.pem="$certs/crl.pem"
apply secret generic scalegate-test-client --namespace "$namespace" --from-file=ca.crt="$certs/ca.pem" \
    --from-file=tls.crt="$certs/clients/viewer.pem" --from-file=tls.key="$certs/clients/viewer-key.pem"
apply configmap scalegate-modules --namespace "$namespace" --from-file=target/policies/normal/scalegate.wasm

# The rules are a value of the chart, so that `helm upgrade` can change them.
mkdir -p target/deploy
{
    printf 'policies:\n  manifest:\n'
    sed 's/^/    /' "$rules"
} >target/deploy/policies.yaml

more=()
for file in ${VALUES:-}; do
    more+=(--values "$file")
done
read -r -a flags <<<"${HELM_FLAGS:-}"
helm upgrade --install scalegate charts/scalegate --namespace "$namespace" --wait --timeout 5m \
    --values deploy/values.yaml --values target/deploy/policies.yaml ${more[@]+"${more[@]}"} \
    --set-string image.repository="${image%:*}" --set-string image.tag="${image##*:}" ${flags[@]+"${flags[@]}"}

if [ -n "${SERVER:-}" ]; then
    contexts=${CONTEXTS:-target/deploy/scalegate.yaml}
    deploy/contexts.sh "$contexts" "${CONTEXT:-$namespace}" "$SERVER" "$certs" "${CONTEXT_NAMESPACE:-}"
    echo "contexts of the client: export SCALEGATE_CONFIG=$contexts" >&2
fi
