#!/usr/bin/env bash
# boot.sh ROOT VOLUME COMMAND...: runs a container's command as Fly would, under an init that is not the container's, in
# namespaces of its own, with VOLUME at /data (a hyphen: none). SIGTERM is handed on; the end of the command ends all.
#
# The environment is the container's; NAME=VALUE before COMMAND... adds to it, as secrets do.
set -euo pipefail

if [ "${1:-}" != --inside ]; then
    exec setpriv --pdeathsig KILL unshare --net --mount --pid --uts --ipc --fork --kill-child "$0" --inside "$@"
fi
root=$2 volume=$3
shift 3

ip link set lo up
ip link add eth0 type veth peer name host0
ip link set eth0 up
ip link set host0 up
ip address add 172.19.0.2/29 dev eth0
ip address add fdaa:0:1:a7b::2/112 dev eth0 nodad
hostname machine
mount --make-rprivate /
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mkdir -p "$root/data"
if [ "$volume" != - ]; then mount --bind "$volume" "$root/data"; fi
printf '%s\n' '127.0.0.1 localhost' 'fdaa:0:1:a7b::2 fly-local-6pn' >"$root/etc/hosts"

trap 'kill -s TERM "$main"' TERM
env --ignore-environment "$(command -v chroot)" "$root" "$@" &
main=$!
# A signal ends the first wait, not the command.
until wait "$main"; status=$?; [ $status -le 128 ] || ! kill -0 "$main" 2>/dev/null; do :; done
exit "$status"
