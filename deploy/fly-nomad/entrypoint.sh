#!/usr/bin/env bash
# entrypoint.sh: starts the machine's servers, each once those that it needs are ready, and ends when one of them ends or
# at SIGTERM; either way in order, so that what was logged is kept. Needs bash 5.1 (`wait -n -p`).
#
#   KIBANA_PASSWORD    the password of `elastic`, with which people log in; without it, nothing starts
#   KEEP_DAYS=7        how long lines are kept (sweep.sh)
#   FREE_MB=1024       how much of the volume stays free (sweep.sh)
#
# It exits with 0 after SIGTERM, 1 when a server has ended, and 2 when it cannot start; /data/stops.log has the reasons.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export TZ=UTC

declare -A name_of=() pid_of=()
running_step=

say() { echo "machine: $*" >&2; }

refuse() {
    say "$*"
    exit 2
}

secret() { head -c 32 /dev/urandom | sha256sum | cut -c 1-64; }

# --- What it needs ---

check() {
    [[ ${KIBANA_PASSWORD:-} =~ ^[A-Za-z0-9._~-]{12,}$ ]] ||
        refuse "KIBANA_PASSWORD takes 12 or more letters, digits and . _ ~ - (fly secrets set KIBANA_PASSWORD=...)"
    mountpoint --quiet /data || refuse "there is no volume at /data: all logs would go with the machine"
    getent hosts fly-local-6pn >/dev/null || refuse "fly-local-6pn has no address: Kibana has none to listen on"
}

# At the first boot, the volume belongs to root.
prepare() {
    local name
    for name in elasticsearch kibana filebeat; do
        install --directory --owner "$name" --group "$name" --mode 700 "/data/$name"
    done
    # Nomad itself would make alloc so that nobody else can list it, and Filebeat, in Nomad's group, finds files by listing.
    install --directory --owner nomad --group nomad --mode 750 /data/nomad /data/nomad/log /data/nomad/alloc
    # Of a Filebeat that was killed. Its process number may be another's by now.
    rm -f /data/filebeat/filebeat.lock
    # What Kibana has sealed must open after a reboot.
    if [ ! -s /data/kibana.key ]; then (umask 077 && secret >/data/kibana.key); fi
}

# --- Watching ---

# start NAME COMMAND...: a server that runs as the user of that name and is watched from now on.
start() {
    local name=$1
    shift
    say "starting $name"
    setpriv --reuid "$name" --regid "$name" --init-groups --no-new-privs "$@" &
    watch "$name" $!
}

watch() {
    name_of[$2]=$1
    pid_of[$1]=$2
}

# until_ended [PID]: the status of a step, when it has ended. A server that ends meanwhile takes the machine with it.
until_ended() {
    local ended pid status
    while :; do
        ended='' status=0
        wait -n -p ended "$@" "${!name_of[@]}" || status=$?
        for pid in "${!name_of[@]}"; do
            if [ "${ended:-}" != "$pid" ]; then
                if kill -0 "$pid" 2>/dev/null; then continue; fi
                # It ended before the wait began.
                status=0
                wait "$pid" || status=$?
            fi
            stop 1 "${name_of[$pid]} ended with status $status"
        done
        if [ "${ended:-}" = "${1:-none}" ]; then return "$status"; fi
    done
}

# step WHAT COMMAND...: something that must succeed before the next can start.
step() {
    local what=$1
    shift
    "$@" &
    running_step=$!
    until_ended "$running_step" || stop 1 "could not $what"
    running_step=
}

# answers COMMAND...: waits until it succeeds, for five minutes.
answers() {
    local deadline=$((SECONDS + 300))
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.5
    done
}

# --- Stopping ---

# stop STATUS REASON: those who log end before those who ship, and these before those who keep.
stop() {
    trap '' TERM INT
    say "stopping: $2"
    echo "$(date +%FT%TZ) $2" >>/data/stops.log || say "the reason could not be written to /data/stops.log"
    if [ -n "$running_step" ]; then kill "$running_step" 2>/dev/null || true; fi
    if running nomad; then
        timeout 20 ./job.sh stop || say "the job did not stop in time"
        if running filebeat && running elasticsearch; then
            KIBANA_PASSWORD=$KIBANA_PASSWORD timeout 30 ./job.sh shipped ||
                say "not all lines are shipped yet; they will be after the next start"
        fi
    fi
    end sweep TERM 5
    end kibana TERM 10
    end filebeat TERM 15
    # At an orderly end, Nomad in dev mode deletes the allocations' directories, and with them lines not yet shipped.
    end nomad KILL 5
    end elasticsearch TERM 30
    say "stopped"
    exit "$1"
}

running() { [ -n "${pid_of[$1]:-}" ] && kill -0 "${pid_of[$1]}" 2>/dev/null; }

# end NAME SIGNAL SECONDS: sends the signal, and SIGKILL if that was not enough.
end() {
    # In a trap, a bare `return` would give the status of what the signal interrupted.
    if ! running "$1"; then return 0; fi
    kill -s "$2" "${pid_of[$1]}" || return 0
    if ! timeout "$3" tail --pid "${pid_of[$1]}" --sleep-interval 0.1 -f /dev/null; then
        say "$1 did not end within $3 s"
        kill -s KILL "${pid_of[$1]}" || true
    fi
}

# --- The servers, in the order in which they start ---

elasticsearch_keystore() {
    local keystore=(setpriv --reuid elasticsearch --regid elasticsearch --init-groups
        /usr/share/elasticsearch/bin/elasticsearch-keystore)
    rm -f /usr/share/elasticsearch/config/elasticsearch.keystore
    "${keystore[@]}" create
    "${keystore[@]}" add --stdin --force bootstrap.password <<<"$KIBANA_PASSWORD"
}

cluster_health() { KIBANA_PASSWORD=$KIBANA_PASSWORD ./elasticsearch.sh GET '_cluster/health?level=indices'; }

# Ready once no index is red, or once only indices of the machine's lines are and nothing has changed for ten looks: a
# damaged one stays red, and all the others serve.
elasticsearch_is_ready() {
    local health
    health=$(cluster_health) || return 1
    case $(jq --raw-output .status <<<"$health") in green | yellow) return 0 ;; red) ;; *) return 1 ;; esac
    if ! jq --exit-status '.initializing_shards + .number_of_pending_tasks + .number_of_in_flight_fetch == 0
        and all(.indices | to_entries[] | select(.value.status == "red") | .key; startswith("machine-"))' <<<"$health"; then
        settled=0
        return 1
    fi
    settled=$((${settled:-0} + 1))
    [ "$settled" -ge 10 ]
}

# Whether that lets the machine start or not, what is red is named.
reach_elasticsearch() {
    local status=0 index
    answers elasticsearch_is_ready || status=$?
    for index in $(cluster_health | jq --raw-output '.indices | to_entries[] | select(.value.status == "red") | .key'); do
        say "the index $index is red, and nothing in it is found; GET _cluster/allocation/explain says why"
    done
    return "$status"
}

provision() {
    KIBANA_PASSWORD=$KIBANA_PASSWORD FILEBEAT_PASSWORD=$filebeat_password KIBANA_SYSTEM_PASSWORD=$kibana_system_password \
        ./provision/provision.sh "$1"
}

nomad_is_ready() { curl --silent --fail http://127.0.0.1:4646/v1/nodes | jq --exit-status '.[0].Status == "ready"'; }

kibana_is_ready() {
    curl --silent --fail http://fly-local-6pn:5601/api/status | jq --exit-status '.status.overall.level == "available"'
}

main() {
    check
    prepare
    trap 'stop 0 SIGTERM' TERM
    trap 'stop 0 SIGINT' INT
    # Only those who need a password find it in their environment; Nomad would hand it on to its tasks.
    export -n KIBANA_PASSWORD
    filebeat_password=$(secret)
    kibana_system_password=$(secret)

    step "set the password of Elasticsearch" elasticsearch_keystore
    ES_JAVA_OPTS='-Xms1g -Xmx1g' start elasticsearch /usr/share/elasticsearch/bin/elasticsearch
    step "reach Elasticsearch" reach_elasticsearch
    step "provision Elasticsearch" provision elasticsearch

    FILEBEAT_PASSWORD=$filebeat_password start filebeat filebeat -e -c "$PWD/config/filebeat.yml" --strict.perms=false

    start nomad ./nomad.sh
    step "reach Nomad" answers nomad_is_ready
    step "start the job" ./job.sh start

    HOME=/data/kibana NODE_OPTIONS=--max-old-space-size=768 KIBANA_SYSTEM_PASSWORD=$kibana_system_password \
        KIBANA_KEY=$(cat /data/kibana.key) start kibana /usr/share/kibana/bin/kibana
    step "reach Kibana" answers kibana_is_ready
    step "provision Kibana" provision kibana

    KIBANA_PASSWORD=$KIBANA_PASSWORD ./sweep.sh &
    watch sweep $!

    say "ready"
    until_ended
}

main
