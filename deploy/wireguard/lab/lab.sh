#!/usr/bin/env bash
# Two machines with a WireGuard tunnel over IPv6, each in namespaces of its own, broken on purpose.
#
#   lab.sh up [--image | --healthy | --seed N | --faults A,B,...]   without an option: --image, the faults that the
#                                                challenge's image is known to have; --seed N picks three of the others
#   lab.sh enter server|client [COMMAND]         a shell in a machine, or one command (a single argument)
#   lab.sh reboot server|client                  what is in its /etc/wireguard, /etc/hosts and boot script stays
#   lab.sh down
#   lab.sh faults                                the names of all faults
#
# LAB=DIRECTORY is where it lives, target/wireguard/lab without it; several can be up at once. Needs root, /dev/net/tun,
# wg, wg-quick, wireguard-go (or a kernel with WireGuard), nft, iptables and python3.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
lab=$(realpath -m "${LAB:-$here/../../../target/wireguard/lab}")
PATH=$PATH:/usr/sbin:/sbin

die() {
  echo "lab.sh: $1" >&2
  exit "${2:-1}"
}

usage() {
  sed -n '4,10s/^# *//p' "${BASH_SOURCE[0]}" >&2
  exit 2
}

# Prints what is missing, one line; nothing where all is there.
missing() {
  local tool
  [ "$(id -u)" = 0 ] || { echo "the lab makes network namespaces, for which it must run as root"; return; }
  for tool in ip wg wg-quick nft ip6tables ping curl tcpdump unshare nsenter flock pgrep python3; do
    command -v "$tool" >/dev/null && continue
    echo "the lab needs $tool: apt-get install wireguard-tools wireguard-go nftables iptables iputils-ping curl tcpdump iproute2 procps python3"
    return
  done
  unshare --net --mount --pid --uts --fork true 2>/dev/null || { echo "the lab needs namespaces, which this machine does not give to root"; return; }
  if unshare --net ip link add wg0 type wireguard 2>/dev/null; then return; fi
  if ! command -v wireguard-go >/dev/null; then
    echo "neither the kernel nor a program has WireGuard: apt-get install wireguard-go"
  elif ! [ -c /dev/net/tun ] || ! (: <>/dev/net/tun) 2>/dev/null; then
    echo "the lab's WireGuard needs /dev/net/tun: modprobe tun, or mknod -m 600 /dev/net/tun c 10 200"
  fi
}

pid_of() {
  local pid
  pid=$(cat "$lab/$1/pid" 2>/dev/null) || die "the $1 is not up; lab.sh up"
  kill -0 "$pid" 2>/dev/null || die "the $1 has ended"
  echo "$pid"
}

# make_machine ROLE PEER: what a healthy one has on its disk. Each has a link of its own to a gateway, as on Fly.
make_machine() {
  local role=$1 peer=$2 endpoint=$3 root=$lab/$1
  mkdir -p "$root/etc/wireguard"
  cp "$lab/keys/$role" "$root/etc/wireguard/private.key"
  cp "$lab/keys/preshared" "$root/etc/wireguard/preshared.key"
  printf '%s\n' "name=$role" "role=$role" "own_6pn=$(of "$role" 6pn)" "own_4=$(of "$role" 4)" \
    "gateway_6pn=$(of "$role" gateway)" "gateway_4=$(of "$role" gateway_4)" >"$root/machine"
  printf '127.0.0.1 localhost\n%s server.wg\n%s client.wg\n' "$(of server tunnel)" "$(of client tunnel)" >"$root/etc/hosts"
  echo '[::]:8080' >"$root/etc/listen"
  : >"$root/etc/boot"
  : >"$root/later"
  cat >"$root/etc/wireguard/wg0.conf" <<CONF
[Interface]
Address = $(of "$role" tunnel)/24
ListenPort = 51820
MTU = 1420
PrivateKey = $(cat "$lab/keys/$role")

[Peer]
PublicKey = $(wg pubkey <"$lab/keys/$peer")
PresharedKey = $(cat "$lab/keys/preshared")
AllowedIPs = $(of "$peer" tunnel)/32
$endpoint
CONF
}

# of ROLE WHAT: the addresses.
of() {
  case $* in
  "server 6pn") echo fdaa:0:1:a7b:5::2 ;;
  "server gateway") echo fdaa:0:1:a7b:5::1 ;;
  "server 4") echo 172.19.5.2 ;;
  "server gateway_4") echo 172.19.5.1 ;;
  "server tunnel") echo 192.168.0.1 ;;
  "client 6pn") echo fdaa:0:1:a7b:6::2 ;;
  "client gateway") echo fdaa:0:1:a7b:6::1 ;;
  "client 4") echo 172.19.6.2 ;;
  "client gateway_4") echo 172.19.6.1 ;;
  "client tunnel") echo 192.168.0.2 ;;
  esac
}

make_lab() {
  local key
  umask 077
  mkdir -p "$lab/keys"
  for key in server client stranger; do wg genkey >"$lab/keys/$key"; done
  wg genpsk >"$lab/keys/preshared"
  make_machine server client ""
  make_machine client server "Endpoint = [$(of server 6pn)]:51820"
  cat >"$lab/plan" <<PLAN
# What both machines should be.
server_6pn=$(of server 6pn)
server_gateway=$(of server gateway)
server_tunnel=$(of server tunnel)
server_name=server.wg
server_key=$(wg pubkey <"$lab/keys/server")
client_6pn=$(of client 6pn)
client_gateway=$(of client gateway)
client_tunnel=$(of client tunnel)
client_name=client.wg
client_key=$(wg pubkey <"$lab/keys/client")
preshared=/etc/wireguard/preshared.key
PLAN
}

# plant NAME: puts a fault of faults.txt where it strikes.
plant() {
  local name side when command root found=""
  while read -r name side when _ command; do
    if [ "$name" != "$1" ]; then continue; fi
    found=1 root=$lab/$side
    case $when in
    disk) ROOT=$root CONF=$root/etc/wireguard/wg0.conf STRANGER=$(wg pubkey <"$lab/keys/stranger") bash -ec "$command" ;;
    boot) echo "$command" >>"$root/etc/boot" ;;
    late) echo "STRANGER=$(wg pubkey <"$lab/keys/stranger"); $command" >>"$root/later" ;;
    *) die "faults.txt: $name strikes $when, which is neither disk, boot nor late" ;;
    esac
  done < <(grep -v '^#' "$here/faults.txt")
  [ -n "$found" ] || die "there is no fault $1; lab.sh faults" 2
}

names() { awk -v which="$1" '!/^#/ && NF { image = $1 ~ /^image-/; if (which == "all" || image == (which == "image")) print $1 }' "$here/faults.txt" | sort -u; }

start() {
  local parent child
  rm -f "$lab/$1/booted" "$lab/$1/plugged"
  mkfifo "$lab/$1/plugged" "$lab/$1/booted"
  setsid unshare --net --mount --uts --pid --fork --mount-proc --kill-child \
    bash "$here/vm.sh" "$lab/$1" >>"$lab/$1/log" 2>&1 </dev/null &
  parent=$!
  # The first process in the namespaces is unshare's child, made once these are there.
  until child=$(xargs <"/proc/$parent/task/$parent/children") && [ -n "$child" ]; do
    kill -0 "$parent" 2>/dev/null || die "the $1 did not start: $(cat "$lab/$1/log")"
  done
  echo "$child" >"$lab/$1/pid"
}

# The network between the two: a namespace that routes, and a cable from it to each machine, which goes with the machine.
net=lab-$(cksum <<<"$lab" | cut -d ' ' -f 1)

make_network() {
  ip netns add "$net"
  ip netns exec "$net" sysctl -q -w net.ipv6.conf.all.forwarding=1 net.ipv4.ip_forward=1
}

plug() {
  local pid
  pid=$(pid_of "$1")
  ip link add eth0 netns "$pid" type veth peer name "$1" netns "$net"
  ip -n "$net" link set "$1" up
  ip -n "$net" -6 addr add "$(of "$1" gateway)/112" dev "$1" nodad
  ip -n "$net" addr add "$(of "$1" gateway_4)/29" dev "$1"
}

# boot ROLE...: tells machines that their cable is in, and waits until they are up.
boot() {
  local role
  for role in "$@"; do echo in >"$lab/$role/plugged"; done
  for role in "$@"; do
    exec 3<>"$lab/$role/booted"
    until read -r -u 3 -t 1 _; do
      kill -0 "$(cat "$lab/$role/pid")" 2>/dev/null || die "the $role did not come up: $(cat "$lab/$role/log")"
    done
  done
}

up() {
  local option=${1:---image} chosen why
  why=$(missing)
  [ -z "$why" ] || die "$why"
  down
  rm -rf "$lab"
  make_lab
  case $option in
  --image) chosen=$(names image) ;;
  --healthy) chosen="" ;;
  --seed) [[ ${2:-} =~ ^[0-9]+$ ]] || die "--seed takes a number" 2
    chosen=$(names other | shuf -n 3 --random-source=<(yes "$2")) ;;
  --faults) chosen=$(tr ',' '\n' <<<"${2:-}") ;;
  *) usage ;;
  esac
  for fault in $chosen; do plant "$fault"; done
  make_network
  start server
  start client
  plug server
  plug client
  boot server client
}

stop() {
  local pid
  pid=$(cat "$lab/$1/pid" 2>/dev/null) || return 0
  kill -9 "$pid" 2>/dev/null || true
  while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
  rm -f "$lab/$1/pid"
}

down() {
  stop server
  stop client
  if [ -e "/run/netns/$net" ]; then ip netns del "$net"; fi
}

reboot() {
  pid_of "$1" >/dev/null
  ip -n "$net" link del "$1"
  stop "$1"
  start "$1"
  plug "$1"
  boot "$1"
}

enter() {
  local pid
  pid=$(pid_of "$1")
  if [ $# -gt 1 ]; then
    nsenter -t "$pid" --net --mount --uts --pid --wd="$here/.." bash -c "$2"
  else
    nsenter -t "$pid" --net --mount --uts --pid --wd="$here/.." env PS1='\h# ' bash --norc -i
  fi
}

case ${1:-} in
up) shift; up "$@" ;;
down) down ;;
faults) names all ;;
missing) missing ;;
enter | reboot)
  case ${2:-} in server | client) ;; *) usage ;; esac
  "$@"
  ;;
*) usage ;;
esac
