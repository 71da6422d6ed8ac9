# shellcheck shell=bash
# The way between the two machines, without WireGuard: eth0, its address, the neighbour.
# shellcheck disable=SC2154 # plan.sh and diagnose.sh set what is not set here

check_link() {
  local line
  if ! line=$(ip -o link show eth0 2>&1); then
    finding link-missing "there is no eth0" "$line" ""
    return
  fi
  case $line in *,UP* | *\<UP*) ;; *) finding link-down "eth0 is down" "$(brief "$line")" "ip link set eth0 up" ;; esac
  case $line in *NOARP*)
    finding link-noarp "eth0 does not ask for its neighbours' addresses" "$(brief "$line")" "ip link set eth0 arp on" ;;
  esac
  case $line in *" mtu ${plan[6pn_mtu]} "*) ;; *)
    finding link-mtu "the MTU of eth0 is not ${plan[6pn_mtu]}" "$(brief "$line")" "ip link set eth0 mtu ${plan[6pn_mtu]}" ;;
  esac
}

check_6pn_address() {
  local settings=/proc/sys/net/ipv6/conf/eth0 held
  # IPv6 leaves an interface whose MTU is under 1280, and its settings with it.
  if [ ! -e $settings ] || [ "$(cat $settings/disable_ipv6)" = 1 ]; then
    finding 6pn-disabled "IPv6 is off on eth0" "net.ipv6.conf.eth0.disable_ipv6 = $(cat $settings/disable_ipv6 2>/dev/null || echo none)" \
      "echo 0 >$settings/disable_ipv6"
  fi
  held=$(addresses -6 eth0)
  if [[ " $held " != *" $own_6pn/"* ]]; then
    finding 6pn-address "eth0 lacks this machine's 6PN address" "eth0 has ${held:-no global address}" \
      "ip -6 addr add $own_6pn/${plan[6pn_prefix]} dev eth0 nodad"
  fi
  check_not_ours 6pn-address-taken -6 "$peer_6pn"
}

# The global addresses of a device, with their lengths.
addresses() { ip -o "$1" addr show dev "$2" scope global 2>/dev/null | awk '{ all = all " " $4 } END { print substr(all, 2) }'; }

# check_not_ours ID FAMILY ADDRESS: the other machine's address must not be on this one, which would answer itself.
check_not_ours() {
  local id=$1 family=$2 address=$3 line held device
  while read -r line; do
    read -r _ device _ held _ <<<"$line"
    finding "$id" "the other machine's address $address is on this one" "$(brief "$line")" \
      "ip $family addr del $held dev $(printf %q "$device")"
  done < <(ip -o "$family" addr show | grep -F " $address/")
}

# The next hop of the 6PN: the gateway, unless the other machine is on the same link.
next_hop() {
  if [ -n "$own_gateway" ] && ! prefix_holds "$own_6pn/${plan[6pn_prefix]}" "$peer_6pn"; then echo "$own_gateway"; fi
}

check_6pn_neighbour() {
  local hop line
  hop=$(next_hop)
  line=$(ip -6 neigh show "${hop:-$peer_6pn}" dev eth0 nud permanent 2>/dev/null)
  if [ -n "$line" ]; then
    finding 6pn-neighbour "the neighbour's hardware address is nailed down" "$line" "ip -6 neigh del ${hop:-$peer_6pn} dev eth0"
  fi
  # What dropped its answers until just now leaves the same trace, so this is no finding.
  line=$(ip -6 neigh show "${hop:-$peer_6pn}" dev eth0 nud failed nud incomplete 2>/dev/null)
  if [ -n "$line" ]; then note "nobody has answered for the next hop; if it stays so, the plan's gateway is wrong: $line"; fi
}
