#!/usr/bin/env bash
# nomad.sh: becomes the agent. What it says goes into a file for each day, which grows on after a reboot and is never
# renamed, as the agent's own `log_file` is: two lines would share a path and an offset, by which Filebeat names them.
set -euo pipefail

by_day() {
    local day line
    while IFS= read -r line; do
        printf -v day '%(%F)T' -1
        printf '%s\n' "$line" >>"/data/nomad/log/nomad-$day.log"
    done
}

exec nomad agent -dev -config "$(dirname "${BASH_SOURCE[0]}")/config/nomad.hcl" > >(by_day) 2>&1
