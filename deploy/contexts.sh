#!/usr/bin/env bash
# contexts.sh FILE NAME SERVER CERTS [NAMESPACE]: writes a file of the client's contexts, to be named in SCALEGATE_CONFIG:
# NAME, the current one, is the operator, and NAME-viewer the viewer, both with the certificates that `make certs` has put
# into CERTS. deploy/deploy.sh calls it.
set -euo pipefail

file=${1:?the file} name=${2:?the name of the context} server=${3:?https://HOST:PORT} namespace=${5:-}
certs=$(CDPATH='' cd -- "${4:?the directory of the certificates}" && pwd)

# quoted TEXT: as a scalar of YAML, whatever is in it.
quoted() { printf "'%s'" "${1//\'/\'\'}"; }

# context NAME WHO
context() {
    echo "  $(quoted "$1"):"
    echo "    server: $(quoted "$server")"
    echo "    ca: $(quoted "$certs/ca.pem")"
    echo "    cert: $(quoted "$certs/clients/$2.pem")"
    echo "    key: $(quoted "$certs/clients/$2-key.pem")"
    if [ -n "$namespace" ]; then echo "    namespace: $(quoted "$namespace")"; fi
}

mkdir -p "$(dirname "$file")"
{
    echo "currentContext: $(quoted "$name")"
    echo "contexts:"
    context "$name" operator
    context "$name-viewer" viewer
} >"$file"
