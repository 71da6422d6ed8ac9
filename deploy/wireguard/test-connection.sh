#!/usr/bin/env bash
# Whether the network is as it should be: HTTP by 6PN is blocked, HTTP by WireGuard works, and what works does cross the
# tunnel. Runs here, and reaches both machines by a command for each, to which it gives one argument, a command line:
#
#   SERVER='lab/lab.sh enter server' CLIENT='lab/lab.sh enter client' test-connection.sh [--plan FILE] [--wait SECONDS]
#   SERVER='fly ssh console -q -a sre-network-server-1 -C' CLIENT=… test-connection.sh --plan plan
#
# --wait is how long the first answer by the tunnel may take (default 30: WireGuard repeats a handshake after 5 s).
# Needs curl, ping, wg and tcpdump on the client, ping and wg on the server. Exits with 0 only if every line says ok.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=checks/plan.sh
. "$here/checks/plan.sh"

usage() { usage_error "usage: SERVER=COMMAND CLIENT=COMMAND test-connection.sh [--plan FILE] [--wait SECONDS]"; }

plan_file=$here/plan wait=30
while [ $# -gt 0 ]; do
  case $1 in
  --plan) [ $# -gt 1 ] || usage; plan_file=$2; shift ;;
  --wait) [[ ${2:-} =~ ^[0-9]{1,4}$ ]] || usage; wait=$2; shift ;;
  *) usage ;;
  esac
  shift
done
[ -n "${SERVER:-}" ] && [ -n "${CLIENT:-}" ] || usage
plan_read "$plan_file"
plan_side client
read -ra on_server <<<"$SERVER"
read -ra on_client <<<"$CLIENT"

failed=0
# said NAME [WHY]: ok, or what is wrong.
said() {
  if [ $# = 1 ]; then
    printf 'ok      %s\n' "$1"
  else
    printf 'FAILED  %s: %s\n' "$1" "$2"
    failed=1
  fi
}

# A shell on the machine, since `fly ssh console -C` starts a program and no shell. On Fly, output has carriage returns.
client() { "${on_client[@]}" "bash -c $(printf %q "$1")" | tr -d '\r'; }
# shellcheck disable=SC2329 # called by name
server() { "${on_server[@]}" "bash -c $(printf %q "$1")" | tr -d '\r'; }

# Whether the machines answer, and have what this needs; nothing else makes sense before.
ready() {
  local side tools answer
  for side in client server; do
    tools="ping wg"
    [ $side = server ] || tools="curl tcpdump ping wg"
    answer=$($side "for tool in $tools; do command -v \$tool >/dev/null || echo no \$tool; done; echo asked" | grep -E '^(no .*|asked)$') || true
    if [ "$answer" != asked ]; then
      said "the $side can be asked, and has $tools" "${answer:-no answer}"
      exit 1
    fi
  done
}

works() {
  local end=$((SECONDS + wait)) answer
  until answer=$(fetched "$peer_tunnel") && [[ $answer == "200 "* ]]; do
    if [ "$SECONDS" -ge "$end" ]; then
      said "HTTP by WireGuard works" "no answer within $wait s"
      return 1
    fi
    # Some failures come at once; each attempt costs a console on Fly.
    sleep 0.5
  done
  said "HTTP by WireGuard works"
}

# The status and the bytes of an answer.
fetched() { client "curl -s -o /dev/null --connect-timeout 3 -m 10 -w '%{http_code} %{size_download}' 'http://$1:$http/' || true" | tail -n 1; }

named() {
  local answer name=${plan[server_name]}
  [ -n "$name" ] || return 0
  answer=$(fetched "$name")
  if [[ $answer == "200 "* ]]; then said "HTTP by the server's name works"; else said "HTTP by the server's name works" "$answer"; fi
}

# No connection at all: refused, or no answer to the first packet.
blocked() {
  local answer
  answer=$(client "curl -s -o /dev/null --connect-timeout 3 -m 10 -w '%{num_connects} ' 'http://[$peer_6pn]:$http/'; echo \$?" | tail -n 1)
  case $answer in
  "0 7" | "0 28") said "HTTP by 6PN is blocked" ;;
  *) said "HTTP by 6PN is blocked" "curl made ${answer% *} connections and ended with ${answer#* }" ;;
  esac
}

# The bytes of one answer must have come in at the client's end of the tunnel, and meanwhile eth0 must have carried UDP
# alone between the two, and no HTTP for anybody.
crosses() {
  local before after answer seen strangers
  before=$(received)
  seen=$(client "exec 3< <(exec tcpdump --immediate-mode -qlnni eth0 '(ip6 host $peer_6pn and not icmp6) or tcp port $http' 2>&1); while read -r line <&3 && [[ \$line != *listening* ]]; do :; done; curl -s -o /dev/null -m 10 -w '%{http_code} %{size_download}' http://$peer_tunnel:$http/; echo; kill -INT \$!; cat <&3")
  after=$(received)
  answer=$(grep -m 1 -xE '[0-9]{3} [0-9]+' <<<"$seen" || true)
  if [[ $answer == "200 "* ]] && [ $((${after:-0} - ${before:-0})) -ge "${answer#200 }" ]; then
    said "its bytes come through the tunnel"
  else
    said "its bytes come through the tunnel" "answer $answer, received before ${before:-?} and after ${after:-?}"
  fi
  seen=$(grep ' > ' <<<"$seen" || true)
  strangers=$(grep -v 'UDP, length' <<<"$seen" || true)
  if [ -z "$strangers" ] && grep -q "\.$peer_port: UDP, length" <<<"$seen"; then
    said "eth0 carries nothing of it but WireGuard's UDP"
  else
    said "eth0 carries nothing of it but WireGuard's UDP" "seen: $(head -n 1 <<<"${strangers:-$seen}")"
  fi
}

# The bytes that have come from the other machine, by WireGuard's own count.
received() { client "wg show wg0 transfer" | awk -v key="$peer_key" '$1 == key { print $2 }'; }

# whole MACHINE TO: packets that fill the MTU cross whole, and greater ones are refused where they start.
whole() {
  local name="the $1's packets of $tunnel_mtu bytes cross whole, and no greater ones start" size=$((tunnel_mtu - 28)) fits over
  fits=$("$1" "ping -n -c 1 -W 10 -M do -s $size $2 >/dev/null 2>&1; echo \$?" | tail -n 1)
  over=$("$1" "ping -n -c 1 -W 1 -M do -s $((size + 1)) $2 2>&1 | grep -c -i 'message too long' || true" | tail -n 1)
  if [ "$fits" != 0 ]; then
    said "$name" "no answer to a ping of that size"
  elif [ "$over" = 0 ]; then
    said "$name" "a ping of one byte more leaves"
  else
    said "$name"
  fi
}

ready
blocked
# Without HTTP there is nothing to follow through the tunnel.
works || exit
named
crosses
whole client "$peer_tunnel"
whole server "$own_tunnel"
exit "$failed"
