#!/usr/bin/env bash
# Sets the count of a Deployment with curl 7.82 or newer, unless somebody else changed it meanwhile, and waits until its
# replicas are ready.
#
#   examples/curl.sh NAMESPACE/NAME COUNT
#
# SCALEGATE_SERVER, SCALEGATE_CA, SCALEGATE_CERT and SCALEGATE_KEY: see README.md.
set -euo pipefail

workload=$1 count=$2
url=$SCALEGATE_SERVER/v1/namespaces/${workload%%/*}/deployments/${workload#*/}/replicas

# Prints the answer. An error is a problem document, and curl then ends with status 22.
call() {
    curl --silent --show-error --fail-with-body \
        --cacert "$SCALEGATE_CA" --cert "$SCALEGATE_CERT" --key "$SCALEGATE_KEY" "$@"
    echo
}

# The ETag is the version of what was read.
version=$(mktemp)
trap 'rm -f "$version"' EXIT
call --etag-save "$version" "$url"

# 200: the replicas are ready. 202: it is stored, and `progress.obstacle` says why the replicas are not ready, if
# Kubernetes does. 412: somebody else was faster; nothing was stored.
call --request PUT "$url?wait=30s" --header "If-Match: $(cat "$version")" \
    --json "{\"replicas\": $count, \"reason\": \"an example\"}"
