# shellcheck shell=bash
# Packet filters: which rule stops a packet that the tunnel needs, whoever wrote it, in whichever table and hook. A rule
# that names the tunnel alone is taken away; before a wider one, or a policy, the tunnel's packets are let pass.
# shellcheck disable=SC2154 # plan.sh and diagnose.sh set what is not set here

# The packets that must pass below the tunnel, and within it; checks/packets.awk says what a line holds.
underlay_packets() {
  local first=new second=established hop
  [ "$role" = client ] && first=established second=new
  hop=$(next_hop)
  echo "wireguard-in in eth0 ip6 udp $peer_6pn $own_6pn $peer_port $own_port $first"
  echo "wireguard-out out eth0 ip6 udp $own_6pn $peer_6pn $own_port $peer_port $second"
  for kind in nd-neighbor-solicit nd-neighbor-advert; do
    echo "neighbour-in in eth0 ip6 icmpv6 ${hop:-$peer_6pn} $own_6pn $kind 0 untracked"
    echo "neighbour-out out eth0 ip6 icmpv6 $own_6pn ${hop:-$peer_6pn} $kind 0 untracked"
  done
}

# Where HTTP is sent on to another address or port, packets have that one from then on, and answers until they leave.
tunnel_packets() {
  if [ "$role" = server ]; then
    echo "http-in in wg0 ip tcp $peer_tunnel $own_tunnel 40000 $http new ingress,prerouting"
    echo "served-in in wg0 ip tcp $peer_tunnel $served_address 40000 $served new input"
    echo "served-out out wg0 ip tcp $served_address $peer_tunnel $served 40000 established output,postrouting"
    echo "http-out out wg0 ip tcp $own_tunnel $peer_tunnel $http 40000 established egress"
  else
    echo "http-out out wg0 ip tcp $own_tunnel $peer_tunnel 40000 $http new"
    echo "http-in in wg0 ip tcp $peer_tunnel $own_tunnel $http 40000 established"
  fi
  echo "ping-in in wg0 ip icmp $peer_tunnel $own_tunnel echo-request 0 new"
  echo "ping-in in wg0 ip icmp $peer_tunnel $own_tunnel echo-reply 0 established"
  echo "ping-out out wg0 ip icmp $own_tunnel $peer_tunnel echo-request 0 new"
  echo "ping-out out wg0 ip icmp $own_tunnel $peer_tunnel echo-reply 0 established"
}

# What lets exactly the packets of one kind through, in the words of nft.
let_through() {
  local in=dport out=sport
  if [ "$role" = client ]; then in=sport out=dport; fi
  case $1 in
  wireguard-in) echo "iifname eth0 ip6 saddr $peer_6pn udp dport $own_port" ;;
  wireguard-out) echo "oifname eth0 ip6 daddr $peer_6pn udp dport $peer_port" ;;
  neighbour-in) echo "iifname eth0 icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert }" ;;
  neighbour-out) echo "oifname eth0 icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert }" ;;
  http-in) echo "iifname wg0 ip saddr $peer_tunnel tcp $in $http" ;;
  http-out) echo "oifname wg0 ip daddr $peer_tunnel tcp $out $http" ;;
  served-in) echo "iifname wg0 ip saddr $peer_tunnel tcp dport $served" ;;
  served-out) echo "oifname wg0 ip daddr $peer_tunnel tcp sport $served" ;;
  ping-in) echo "iifname wg0 ip saddr $peer_tunnel icmp type { echo-request, echo-reply }" ;;
  ping-out) echo "oifname wg0 ip daddr $peer_tunnel icmp type { echo-request, echo-reply }" ;;
  esac
}

# The same for iptables, which has no sets: all ICMP of the tunnel, and all ICMPv6 of the link.
in_iptables() {
  sed -E 's/iifname/-i/; s/oifname/-o/; s/ip6? saddr/-s/; s/ip6? daddr/-d/; s/(tcp|udp) ([ds]port)/-p \1 --\2/
    s/(icmpv6|icmp) type .*/-p \1/' <<<"$1"
}

# Fills `rules` with all rules of this machine, as nft shows them; `nft` says whether nft can, and `filter_tools` has the
# tools whose rules it does not show. What they are is looked up once, for a run changes nothing.
read_filters() {
  local tool
  nft=1
  rules=$(nft -a list ruleset 2>/dev/null) || nft=""
  filter_tools=$(iptables_kinds)
  if [ -z "$nft" ]; then
    if [ -z "$filter_tools" ]; then
      note "neither nft nor iptables is here: packet filters are not looked at"
    else
      note "without nft, only the packet filters of iptables are looked at"
    fi
  fi
  for tool in $filter_tools; do
    rules+=$'\n'$("$tool-save" -c 2>/dev/null | awk -v tool="$tool" -f "$here/checks/iptables.awk")
  done
  open=$(listening | awk '{ sub(/.*:/, ""); all = all " " $0 } END { print all " " }')
}

# The iptables and ip6tables whose rules nft does not show: those of the older kind, and without nft those of both. The
# older kind is only asked where it has tables, since to ask makes the kernel load it.
iptables_kinds() {
  local tool flavour kind had
  for tool in iptables ip6tables; do
    had=" "
    for flavour in $tool $tool-legacy $tool-nft; do
      command -v "$flavour-save" >/dev/null || continue
      kind=legacy
      case $("$flavour" --version 2>/dev/null) in *nf_tables*) kind=nft ;; esac
      case $had in *" $kind "*) continue ;; esac
      had+="$kind "
      if [ $kind = nft ] && [ -n "$nft" ]; then continue; fi
      if [ $kind = legacy ] && [ -z "$(cat "/proc/net/${tool%tables}_tables_names" 2>/dev/null)" ]; then continue; fi
      echo "$flavour"
    done
  done
}

# sent: what stops the packets of the first argument.
sent() {
  awk -v open="$open" -f "$here/checks/address.awk" -f "$here/checks/packets.awk" <(echo "$1") <(echo "$rules")
}

# check_firewall ID PACKETS
check_firewall() {
  local id=$1 name chain handle rule seen=$'\n' command
  while IFS=$'\t' read -r name chain handle rule; do
    if [ "$name" = "?" ]; then
      note "whether this stops the tunnel's packets cannot be told: chain $chain: $rule"
      continue
    fi
    command=""
    if takes_away "$rule" "$handle"; then command=$(taken_away "$chain" "$handle"); fi
    if [ -z "$command" ]; then command=$(let_pass "$chain" "$name"); fi
    # Several packets meet one rule.
    case $seen in *$'\n'"$command"$'\n'*) continue ;; esac
    seen+=$command$'\n'
    finding "$id" "the packet filter stops what the tunnel needs ($name)" "chain $chain: $rule" "$command"
  done < <(sent "$2")
}

# A rule may go that names WireGuard's own ports, or HTTP on the tunnel's own device, and is not for more than that. One
# that stops HTTP on every device keeps the 6PN closed too.
takes_away() {
  local rule=" ${1//[{\}\"]/} "
  [ "$2" != policy ] || return 1
  [[ $rule =~ \ (udp|th)\ [ds]port\ ($own_port|$peer_port)\  ]] ||
    [[ $rule =~ \ [io]ifname\ wg0\  && $rule =~ \ (tcp|th)\ [ds]port\ ($http|$served)\  ]] ||
    [[ $rule =~ \ (redirect|dnat|snat)\  && $rule =~ \ [ds]port\ $http\  ]]
}

# The table of a chain that comes from iptables is TABLE@TOOL. Names that a shell would read otherwise get no command.
taken_away() {
  local family table name
  read -r family table name <<<"$1"
  case $table in
  *@*) "${table#*@}-save" | awk -v tool="${table#*@} -t ${table%@*}" -v line="$2" "$in_save" ;;
  *) if simple "$table$name"; then echo "nft delete rule $family $table $name handle $2"; fi ;;
  esac
}

let_pass() {
  local family table name match
  read -r family table name <<<"$1"
  match=$(let_through "$2")
  simple "${table/@/}$name" || return 0
  case $table in
  *@*) echo "${table#*@} -t ${table%@*} -I $name $(in_iptables "$match") -j ACCEPT" ;;
  *) echo "nft 'insert rule $family $table $name $match accept'" ;;
  esac
}

simple() { [[ $1 =~ ^[A-Za-z0-9_./-]+$ ]]; }

# A rule as iptables-save writes it is what deletes it, unless it has something in quotes.
# shellcheck disable=SC2016 # awk's
in_save='NR == line && !/["$`;&|<>()\\]/ { sub(/^-A /, ""); print tool " -D " $0 }'

# HTTP by 6PN must be stopped, on the server, at the plan's port and at the one that it is sent on to.
check_6pn_closed() {
  [ "$role" = server ] || return 0
  local port
  for port in $(printf '%s\n' "$http" "$served" | sort -u); do
    listening | grep -qxF -e "*:$port" -e "[::]:$port" -e "[$own_6pn]:$port" || continue
    if sent "open in eth0 ip6 tcp $peer_6pn $own_6pn 40000 $port new" | grep -q '^open'; then continue; fi
    finding 6pn-open "nothing stops HTTP that comes by 6PN" "no rule for TCP port $port on eth0" "$(
      if [ -n "$nft" ]; then
        echo "nft 'add table inet mend; add chain inet mend input { type filter hook input priority -10; }; add rule inet mend input iifname eth0 tcp dport $port drop'"
      else
        echo "ip6tables -I INPUT -i eth0 -p tcp --dport $port -j DROP"
      fi
    )"
  done
}
