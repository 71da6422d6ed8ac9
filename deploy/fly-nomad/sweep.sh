#!/usr/bin/env bash
# sweep.sh [--once]: every ten minutes, deletes what is older than KEEP_DAYS (default 7): the indices of such days, and
# the files that they were made from. While less than FREE_MB (default 1024) is free on the volume, the oldest day goes
# too, unless it is today. Lifecycle management would do the same by age, and knows nothing of the disk.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

today=$(date -u +%Y.%m.%d)

# The days that have indices, the oldest first.
days() {
    ./elasticsearch.sh GET '_cat/indices/machine-*?h=index' | sed -n 's/.*-\([0-9.]*\)$/\1/p' | sort -u
}

free_mb() { df --output=avail --block-size=1M /data | tail -n 1; }

delete() { # DAY, why
    local index
    for index in $(./elasticsearch.sh GET "_cat/indices/machine-*-$1?h=index"); do
        ./elasticsearch.sh DELETE "$index" >/dev/null
        echo "sweep: deleted $index: $2" >&2
    done
}

sweep() {
    local oldest_kept day keep=${KEEP_DAYS:-7}
    oldest_kept=$(date -u -d "-$keep days" +%Y.%m.%d)
    for day in $(days); do
        if [[ $day < $oldest_kept ]]; then delete "$day" "older than $keep days"; fi
    done
    for day in $(days); do
        if [ "$(free_mb)" -ge "${FREE_MB:-1024}" ] || [[ ! $day < $today ]]; then break; fi
        delete "$day" "less than ${FREE_MB:-1024} MB are free"
    done
    find /data/nomad/log -name 'nomad-*.log' -mtime "+$keep" -delete
    # An allocation's directory, of this or an earlier boot, once nothing has written there for so long.
    for directory in /data/nomad/alloc/*/; do
        if [ -d "$directory" ] && [ -z "$(find "$directory" -type f -mtime "-$keep" -print -quit)" ]; then
            rm -rf "$directory"
        fi
    done
}

case "${1:-}" in
--once) sweep ;;
'')
    while :; do
        "./${0##*/}" --once || echo "sweep: it failed, and is tried again in ten minutes" >&2
        sleep 600
    done
    ;;
*)
    echo "usage: sweep.sh [--once]" >&2
    exit 2
    ;;
esac
