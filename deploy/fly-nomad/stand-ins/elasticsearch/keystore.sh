#!/bin/sh
# Keeps the one secret that the machine gives to Elasticsearch where the stand-in looks for it, unsealed.
set -eu
config=/usr/share/elasticsearch/config
umask 077
case "$*" in
create) : >"$config/elasticsearch.keystore" ;;
"add --stdin --force bootstrap.password")
    [ -e "$config/elasticsearch.keystore" ]
    head -n 1 | tr -d '\n' >"$config/bootstrap.password"
    ;;
*)
    echo "the stand-in of elasticsearch-keystore does not know: $*" >&2
    exit 2
    ;;
esac
