#!/usr/bin/env bash
# elasticsearch.sh METHOD PATH [BODY|@FILE]: asks Elasticsearch as `elastic` and prints its answer. An error is a failure,
# in Elasticsearch's own words. KIBANA_PASSWORD goes in by a file, because everyone can read a command line.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: elasticsearch.sh METHOD PATH [BODY|@FILE]" >&2; exit 2; }

body=()
if [ $# -ge 3 ]; then body=(--header 'Content-Type: application/json' --data-binary "$3"); fi
answer=$(curl --silent --show-error --fail-with-body --max-time 30 --request "$1" "${body[@]}" \
    --config <(printf 'user = "elastic:%s"\n' "$KIBANA_PASSWORD") "http://127.0.0.1:9200/$2") || {
    echo "elasticsearch.sh: $1 /$2: $answer" >&2
    exit 1
}
printf '%s\n' "$answer"
