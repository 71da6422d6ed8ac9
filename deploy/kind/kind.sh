#!/usr/bin/env bash
# kind.sh up|load|down: a KIND cluster of three nodes. `make kind-up kind-load kind-down` call it.
#
#   KIND_CLUSTER=scalegate   its name
#   KIND_NODE_IMAGE          the nodes' image; without it, the one that this version of kind was made with
#   KIND_PORT=8443           the port of this machine under which the gateway is reached
#   KIND_IP_FAMILY=ipv4      the addresses of pods and Services: ipv4, or dual for IPv6 too
#   KIND_IMAGE_ARCHIVES      what `load` puts into the nodes, files of `docker save` or of deploy/image/build.sh
#
# The administrator's kubeconfig is written to target/kind/kubeconfig; yours stays as it is.
set -euo pipefail
cd "$(dirname "$0")/../.."

cluster=${KIND_CLUSTER:-scalegate}
port=${KIND_PORT:-8443}
# The Service's port on every node; the chart's values in deploy/kind/values.yaml name it too.
node_port=30843
export KUBECONFIG=$PWD/target/kind/kubeconfig

missing=()
for program in docker kind kubectl; do
    command -v "$program" >/dev/null || missing+=("$program")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "missing: ${missing[*]} (https://kind.sigs.k8s.io/docs/user/quick-start says how to install them)" >&2
    exit 1
fi
if ! docker info >/dev/null 2>&1; then
    echo "docker does not answer: start it, or see that you may use it" >&2
    exit 1
fi

is_up() {
    kind get clusters 2>/dev/null | grep -qx "$cluster"
}

case ${1:-} in
up)
    mkdir -p target/kind
    if is_up; then
        kind export kubeconfig --name "$cluster" --kubeconfig "$KUBECONFIG" >/dev/null 2>&1
        echo "cluster $cluster is up; export KUBECONFIG=$KUBECONFIG"
        exit
    fi
    kind create cluster --name "$cluster" --kubeconfig "$KUBECONFIG" --wait 180s \
        ${KIND_NODE_IMAGE:+--image "$KIND_NODE_IMAGE"} --config - <<CONFIG
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
networking:
  ipFamily: ${KIND_IP_FAMILY:-ipv4}
nodes:
  - role: control-plane
    extraPortMappings:
      - containerPort: $node_port
        hostPort: $port
        listenAddress: 127.0.0.1
  - role: worker
  - role: worker
CONFIG
    echo "export KUBECONFIG=$KUBECONFIG"
    ;;
load)
    is_up || { echo "there is no cluster $cluster: make kind-up" >&2; exit 1; }
    archives=${KIND_IMAGE_ARCHIVES:-target/image/scalegate.tar}
    for archive in $archives; do
        [ -f "$archive" ] || { echo "$archive is not there: make image" >&2; exit 1; }
        kind load image-archive "$archive" --name "$cluster"
    done
    ;;
down)
    kind delete cluster --name "$cluster" --kubeconfig "$KUBECONFIG"
    ;;
*)
    sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
