#!/usr/bin/env bash
# Says what keeps this machine's end of the tunnel from working: what is wrong, the evidence, and the command that mends
# it, from the link up. It reads, and changes nothing.
#
#   diagnose.sh [--plan FILE] [--vain FILE] server|client
#   diagnose.sh --facts server|client          this machine's part of a plan
#
# Without --plan it is the file `plan` beside this script. --vain names commands that were run and changed nothing, a line
# each, COMMAND <tab> what it said: fix.sh writes it. Needs bash, awk, sed, iproute2, wg, and nft or iptables. Exits with 0
# if nothing is wrong, 1 if something is, 2 if it was called wrongly.
# No -e: what fails is what this looks for. No pipefail: a reader that has seen enough would make its writer fail.
set -u
export LC_ALL=C
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PATH=$PATH:/usr/sbin:/sbin
for part in plan facts link leftovers routing firewall conf tunnel beyond system; do
  # shellcheck source=/dev/null
  . "$here/checks/$part.sh"
done

usage() { usage_error "usage: diagnose.sh [--plan FILE] [--vain FILE] server|client, or diagnose.sh --facts server|client"; }

count=0 notes=0 noted=""
declare -A vain=()
# finding ID WHAT EVIDENCE COMMAND [HINT]: fix.sh reads the commands. One that is empty, or that was run in vain, means that
# a person must decide; the hint says what.
finding() {
  local evidence=${3//$'\n'/ } command=$4
  if [ -n "$command" ] && [ -n "${vain["$command"]+run}" ]; then
    evidence+="; this was run and changed nothing: $command: ${vain["$command"]}"
    command=""
  fi
  count=$((count + 1))
  printf '%d. %s: %s\n     evidence: %s\n' "$count" "$1" "$2" "$evidence"
  if [ -n "$command" ]; then
    printf '     mend:     %s\n' "$command"
  else
    printf '     by hand:  %s\n' "${5:-no command can know how}"
  fi
}

# note TEXT: what may be wrong, told once.
note() {
  if [[ $noted == *"$1"* ]]; then return; fi
  notes=$((notes + 1))
  noted+=$1
  echo "note: $1"
}

# A line of iproute2 without what fills it up.
brief() { sed -E 's/\\.*//; s/ (qdisc|group|mode|qlen|valid_lft|preferred_lft).*//; s/^[0-9]+: //; s/ +/ /g' <<<"$1"; }

# A mend of the other machine's would take this one's addresses away.
# shellcheck disable=SC2154 # plan.sh sets them
check_role() {
  local six
  six=" $(addresses -6 eth0) "
  if [[ $six != *" $own_6pn/"* ]] &&
    [[ $six == *" $peer_6pn/"* || $(wg show wg0 public-key 2>/dev/null) == "$peer_key" ]]; then
    usage_error "this is not the $role, or the plan's roles are swapped: it has the other machine's 6PN address or key"
  fi
  [ -d /etc/wireguard ] || usage_error "this is no machine of the plan: it has no /etc/wireguard"
}

# shellcheck disable=SC2034,SC2154 # the checks set and read each other's
check_all() {
  find_listener
  check_stopped
  check_link
  check_6pn_address
  left_over=() left_behind=""
  if ! asleep wg0; then find_leftovers; fi
  check_path 6pn -6 "$peer_6pn" "$own_6pn" eth0 "$(next_hop)" "${plan[6pn_mtu]}"
  check_6pn_neighbour
  check_hops
  check_firewall underlay-firewall "$(underlay_packets)"
  path_wrong=""
  if ! asleep wg0 && check_tunnel; then
    check_tunnel_settings
    check_twins
    check_peers
    check_leftovers
    check_tunnel_address
    check_path tunnel -4 "$peer_tunnel" "$own_tunnel" wg0 "" "$tunnel_mtu"
  else
    check_leftovers
  fi
  check_firewall tunnel-firewall "$(tunnel_packets)"
  check_ipsec
  check_devices
  check_settings
  check_listener
  check_6pn_closed
  check_names
}

plan_file=$here/plan vain_file=/dev/null facts="" role=""
# shellcheck disable=SC2034 # conf.sh uses it
declare -A sleeping=()
while [ $# -gt 0 ]; do
  case $1 in
  --plan) [ $# -gt 1 ] || usage; plan_file=$2; shift ;;
  --vain) [ $# -gt 1 ] || usage; vain_file=$2; shift ;;
  --facts) facts=1 ;;
  server | client) [ -z "$role" ] || usage; role=$1 ;;
  *) usage ;;
  esac
  shift
done
[ -n "$role" ] || usage
for tool in ip ss wg awk sed; do
  type -P "$tool" >/dev/null || usage_error "$tool is needed and not here"
done
[ "$(id -u)" = 0 ] || usage_error "only root sees keys and packet filters"
find_sleeping
if [ -n "$facts" ]; then
  facts
  exit
fi
plan_read "$plan_file"
plan_side "$role"
while IFS=$'\t' read -r command words; do vain["$command"]=$words; done <"$vain_file"
check_role
read_filters
check_all
if [ "$count" -gt 0 ]; then exit 1; fi
echo "nothing is wrong at the $role's end$([ "$notes" = 0 ] || echo ", as far as can be told: see the notes above")"
