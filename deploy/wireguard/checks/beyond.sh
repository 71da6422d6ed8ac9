# shellcheck shell=bash
# What takes packets beside routes and packet filters: IPsec's policies, hop limits, queues, programs in the kernel. What
# cannot be judged is named, with where to look.
# shellcheck disable=SC2154 # plan.sh and diagnose.sh set what is not set here

# IPsec: the first policy of a direction that a packet fits decides. One for the other machine's address alone is taken
# away; a wider one may serve others.
check_ipsec() {
  local policies line seen=" " direction source destination protocol sport dport
  policies=$(ip -s xfrm policy 2>/dev/null | awk "$in_policies" | sort -s -n -k 1,1)
  while read -r _ direction _ _ protocol source destination sport dport _; do
    judge_ipsec
  done < <([ -z "$policies" ] || { underlay_packets; tunnel_packets; })
  line=$(ip xfrm policy getdefault 2>/dev/null | grep -E '(in|out): *block' | squeezed)
  if [ -n "$line" ]; then
    finding ipsec "IPsec drops what no policy allows" "ip xfrm policy getdefault: $line" "" \
      "ip xfrm policy setdefault in accept out accept, or a policy that allows the tunnel's packets"
  fi
}

judge_ipsec() {
  local priority index toward action transform from to over from_port to_port exact=$destination
  if [ "$direction" = in ]; then exact=$source; fi
  while read -r priority index toward action transform from to over from_port to_port; do
    if ! { [ "$toward" = "$direction" ] && same_protocol "$over" && prefix_holds "$from" "$source" && prefix_holds "$to" "$destination"; }; then
      continue
    fi
    case $protocol in udp | tcp) [[ $from_port =~ ^(-|$sport)$ && $to_port =~ ^(-|$dport)$ ]] || continue ;; esac
    if [[ $seen != *" $index "* ]]; then
      seen+="$index "
      told_of_ipsec
    fi
    return
  done <<<"$policies"
}

told_of_ipsec() {
  local evidence="dir $toward src $from dst $to proto $over action $action priority $priority index $index" mend=""
  if [ "$action" = block ]; then
    case " $from $to " in *" $exact/32 "* | *" $exact/128 "*) mend="ip xfrm policy delete dir $toward index $index" ;; esac
    finding ipsec "a policy of IPsec drops packets of the tunnel" "$evidence" "$mend" \
      "it may serve others: ip xfrm policy delete dir $toward index $index, or one of a lesser priority that allows the tunnel's packets"
  elif [ "$transform" = yes ]; then
    note "IPsec takes packets of the tunnel, which is not judged; see ip -s xfrm policy and ip -s xfrm state: $evidence"
  fi
}

same_protocol() {
  case "$1 $protocol" in
  "- "* | "$protocol $protocol" | "6 tcp" | "17 udp" | "1 icmp" | "58 icmpv6" | "ipv6-icmp icmpv6") ;;
  *) return 1 ;;
  esac
}

# The policies, a line each: PRIORITY INDEX DIRECTION ACTION TRANSFORM SOURCE DESTINATION PROTOCOL SPORT DPORT. Those of
# sockets have no direction here.
# shellcheck disable=SC2016 # awk's
in_policies='
  function value(word,    i) { for (i = 1; i < NF; i++) if ($i == word) return $(i + 1); return "-" }
  function done() { if (toward ~ /^(in|out)$/) print priority, number, toward, action, transform, selector }
  $1 == "src" && !/^\t/ {
      done()
      toward = ""; transform = "no"
      selector = value("src") " " value("dst") " " value("proto") " " value("sport") " " value("dport")
  }
  $1 == "dir" { toward = $2; action = value("action"); number = value("index"); priority = value("priority") }
  $1 == "tmpl" { transform = "yes" }
  END { done() }'

# 64 is the kernel's own. The tunnel's packets themselves cross no router.
check_hops() {
  local setting=/proc/sys/net/ipv6/conf/eth0/hop_limit line
  if [ -e $setting ] && [ "$(cat $setting)" -lt 64 ]; then
    finding 6pn-hops "packets may cross too few routers" "net.ipv6.conf.eth0.hop_limit = $(cat $setting)" "echo 64 >$setting"
  fi
  while read -r line; do
    note "whether this rule sets the hop limit of the tunnel's packets cannot be told: $line"
  done < <(grep -E ' (hoplimit|ttl) set | target (HL|TTL) ' <<<"$rules")
}

# A queue can drop or delay, a program do anything.
check_devices() {
  local device line queue
  for device in eth0 wg0; do
    line=$(ip -o link show "$device" 2>/dev/null)
    queue=$(sed -n 's/.* qdisc \([^ ]*\).*/\1/p' <<<"$line")
    case $queue in '' | noqueue | noop | mq | pfifo | pfifo_fast | fq | fq_codel | cake) ;; *)
      note "$device has a queue that is not judged, $queue; see tc -s qdisc show dev $device" ;;
    esac
    if [[ $line == *" xdp"* ]]; then note "$device has a program in the kernel that is not judged; see ip -d link show $device"; fi
    if tc qdisc show dev "$device" 2>/dev/null | grep -qE '^qdisc (ingress|clsact)'; then
      note "$device has filters of tc that are not judged; see tc filter show dev $device ingress, and egress"
    fi
  done
}
