#!/usr/bin/env bash
# replay.sh FILE [SECONDS]: prints the decisions of a file, one every SECONDS, over and over, until SIGTERM. Each gets
# the present as its time and says that it is replayed; when it was decided, its `instant` still tells.
set -euo pipefail
[ -s "${1:-}" ] || { echo "usage: replay.sh FILE [SECONDS]; the file must hold decisions" >&2; exit 2; }

trap 'exit 0' TERM
while :; do
    while IFS= read -r line; do
        now=$EPOCHREALTIME
        printf -v time '%(%Y-%m-%dT%H:%M:%S)T.%sZ' "${now%.*}" "${now#*.}"
        jq --compact-output --arg time "$time" '.timestamp = $time | .replayed = true' <<<"$line"
        sleep "${2:-2}"
    done <"$1"
done
