#!/usr/bin/env bash
# vm.sh ROOT: what a machine of the lab does when it boots, as the first process of its namespaces. lab.sh starts it.
# ROOT/etc is what survives a reboot.
# shellcheck disable=SC2154 # ROOT/machine sets what is not set here
set -euo pipefail
root=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=/dev/null
. "$root/machine"

hostname "$name"
mount -t tmpfs tmpfs /run
mount --bind "$root/etc/wireguard" /etc/wireguard
mount --bind "$root/etc/hosts" /etc/hosts

ip link set lo up
# The other end of the cable is plugged in from outside, which says so.
read -r _ <"$root/plugged"
ip link set eth0 up
ip -6 addr add "$own_6pn/112" dev eth0 nodad
ip -6 route add default via "$gateway_6pn" dev eth0
ip addr add "$own_4/29" dev eth0
ip route add default via "$gateway_4"

if [ "$role" = server ]; then
  exec 3< <(exec python3 "$here/http-server.py" "$(cat "$root/etc/listen")")
  read -r -u 3 listener
  echo "$listener" >"$root/http.pid"
  ip6tables -A INPUT -i eth0 -p tcp --dport 8080 -j DROP
fi
# What the image breaks at boot, then what happened to the machine later, once.
bash -e "$root/etc/boot"
wg-quick up wg0 || echo "wg-quick up wg0 failed"
if [ -e "$root/later" ]; then
  bash -e "$root/later"
  rm "$root/later"
fi
echo up >"$root/booted"
# Children that are left to the first process end with it.
while true; do wait || true; sleep infinity & done
