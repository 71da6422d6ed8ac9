#!/usr/bin/env bash
# job.sh start      has Nomad run the job, which it forgets at a reboot
# job.sh stop       stops it, and waits until its tasks have ended
# job.sh shipped    waits until the last line of each of its files is in Elasticsearch
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export NOMAD_ADDR=http://127.0.0.1:4646

allocations() { nomad job allocs -json demo | jq --raw-output ".[] | $1"; }

stop() {
    nomad job stop -detach demo >/dev/null
    while [ -n "$(allocations 'select(.ClientStatus == "running" or .ClientStatus == "pending") | .ID')" ]; do sleep 0.2; done
}

# in_elasticsearch FILE: whether its last line is there, and so all before it.
in_elasticsearch() {
    local offset query indices
    offset=$(($(stat --format %s "$1") - $(tail -n 1 "$1" | wc -c)))
    query=$(jq --null-input --arg path "$1" --argjson offset "$offset" \
        '{query: {bool: {filter: [{term: {"log.file.path": $path}}, {term: {"log.offset": $offset}}]}}}')
    # A red index finds nothing, and a refresh would wait for it.
    indices=$(./elasticsearch.sh GET '_cat/indices/machine-*?format=json' | jq --raw-output 'map(select(.health != "red") | .index) | join(",")')
    ./elasticsearch.sh POST "$indices/_refresh" >/dev/null
    ./elasticsearch.sh POST "$indices/_count" "$query" | jq --exit-status '.count > 0' >/dev/null
}

shipped() {
    local id file
    for id in $(allocations .ID); do
        for file in "/data/nomad/alloc/$id/alloc/logs"/*.std*; do
            if [ ! -s "$file" ]; then continue; fi
            until in_elasticsearch "$file"; do sleep 0.5; done
        done
    done
}

case "${1:-}" in
start) nomad job run -detach job.nomad.hcl ;;
stop) stop ;;
shipped) shipped ;;
*)
    echo "usage: job.sh start|stop|shipped" >&2
    exit 2
    ;;
esac
