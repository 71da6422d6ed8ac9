#!/usr/bin/env bash
# generator.sh [LINES_PER_SECOND]: logs what an imagined web server would, until SIGTERM.
set -euo pipefail

pause=$(awk -v rate="${1:-2}" 'BEGIN { print 1 / rate }')
methods=(GET GET GET GET POST)
paths=(/ /cart /checkout /products /search)
# One answer in ten is not a good one.
statuses=(200 200 200 200 200 200 200 201 404 503)
declare -A levels=([200]=info [201]=info [404]=warn [503]=error)
trap 'exit 0' TERM

request=0
while :; do
    request=$((request + 1))
    method=${methods[RANDOM % ${#methods[@]}]} path=${paths[RANDOM % ${#paths[@]}]}
    status=${statuses[RANDOM % ${#statuses[@]}]}
    now=$EPOCHREALTIME
    printf '{"time":"%(%Y-%m-%dT%H:%M:%S)T.%sZ","level":"%s","message":"%s %s answered %d","request":%d,"method":"%s","path":"%s","status":%d,"duration_ms":%d}\n' \
        "${now%.*}" "${now#*.}" "${levels[$status]}" "$method" "$path" "$status" "$request" "$method" "$path" "$status" $((RANDOM % 200))
    sleep "$pause"
done
