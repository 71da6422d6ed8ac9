# shellcheck shell=bash
# Where packets for the other machine leave, and what sends them elsewhere. What names its address alone is taken away;
# before what is wider, and may serve others, the tunnel gets a route or a rule of its own.
# shellcheck disable=SC2154 # plan.sh and diagnose.sh set what is not set here

# check_path ID FAMILY TO FROM DEVICE HOP MTU: packets to TO must leave by DEVICE, by way of HOP if there is one.
check_path() {
  local id=$1 family=$2 to=$3 from=$4 device=$5 hop=$6 mtu=$7 got add length=32 preference rule table line
  if [ "$family" = -6 ]; then length=128; fi
  add="ip $family route replace $to/$length ${hop:+via $hop }dev $device${hop:+ onlink}"
  path_wrong=""
  # Rules can ask for the source, which an answer has from the start and a first packet gets by its route.
  for got in "$(route_get "$to")" "$(held_here "$from" && route_get "$to" from "$from")"; do
    if [ -n "$got" ] && ! leaves "$got"; then
      blame "$got"
      return
    fi
  done
  # A route with several ways is asked for one of them at a time.
  look_up
  while read -r got; do
    if ! leaves " $got"; then
      blame "$got"
      return
    fi
  done < <(sed -n 's/ nexthop /\n/gp' <<<"$line" | sed 1d)
  while IFS= read -r got; do
    note "whether this rule takes the tunnel's packets cannot be told: $got"
  done < <(ip "$family" rule show | grep -E ' (ipproto|sport|dport|uidrange) ')
  got=$(route_get "$to")
  if [[ $family = -4 && $got == *" src "* && $got != *" src $from "* ]] && held_here "$from"; then
    finding "$id-source" "packets to $to carry another source than this machine's address" "$got" "$add src $from"
  elif [[ "$got " =~ \ mtu\ (lock\ )?([0-9]+)\  && ${BASH_REMATCH[2]} -lt $mtu ]]; then
    finding "$id-route-mtu" "the route to $to is for smaller packets than $device takes" "$got" "$add mtu $mtu"
  elif [[ $family = -6 && "$got " =~ \ hoplimit\ ([0-9]+)\  && ${BASH_REMATCH[1]} -lt 64 ]]; then
    # The tunnel's own packets cross no router.
    finding "$id-route-hops" "packets to $to may cross too few routers" "$got" "$add hoplimit 64"
  fi
  check_own_route
}

# The kernel takes packets to an address of this machine as its own by a route, which can be missing though the address
# is there.
check_own_route() {
  local got
  got=$(route_get "$from")
  if held_here "$from" && is_up "$device" && [[ $got != local\ * ]]; then
    finding "$id-own-route" "this machine does not take packets to its own address $from" "$got" \
      "ip $family route add local $from dev $device table local proto kernel"
  fi
}

route_get() { ip -o "$family" route get "$@" 2>&1 | tr '\n\134' '  '; }
held_here() { ip -o addr show | grep -qF " $1/"; }

# An address that is on this machine though it is the other's is found by another check. WireGuard knows no next hop.
leaves() {
  case "$1 " in
  "local "*) held_here "$to" ;;
  *" dev wg0 "*) [ "$device" = wg0 ] ;;
  *" via ${hop:-none} dev $device "*) return 0 ;;
  *" via "*) [ "$device" = eth0 ] && [ -z "$own_gateway" ] && [[ "$1 " == *" dev $device "* ]] ;;
  *" dev $device "*) [ -z "$hop" ] ;;
  *) return 1 ;;
  esac
}

# Each finding is of what catches the packets. What wg-quick left behind goes first.
blame() {
  local got=$1
  # shellcheck disable=SC2034 # system.sh reads it
  path_wrong=1
  look_up
  case $left_behind in *$'\n'"${line:-none}"$'\n'*) return 0 ;; esac
  if [[ $table != main && $left_behind == *$'\n'"$rule"$'\n'* ]]; then return 0; fi
  case "$rule:$table" in
  :*) finding "$id-route" "there is no route to $to" "$got" "$add" ;;
  *:local) blame_route "$line" " table local" ;;
  *:main | *:default) blame_route "$line" ;;
  *) blame_rule ;;
  esac
}

# Looks packets up as the kernel does, rule by rule, until something catches them: sets `preference`, `rule`, `table` and
# `line`, the route; `rule` is empty if nothing does.
look_up() {
  while IFS=: read -r preference rule; do
    rule=$(squeezed <<<"${rule/\[detached\]/}")
    rule_applies " $rule " || continue
    table=$(sed -n 's/.*lookup \([^ ]*\).*/\1/p' <<<"$rule") line=""
    [ -n "$table" ] || return 0
    line=$(catches "$table" "$rule")
    case $line in '' | throw*) ;; *) return 0 ;; esac
  done < <(ip "$family" rule show)
  rule="" line=""
}

squeezed() { tr -s '\t\n ' ' ' | sed 's/^ //; s/ $//'; }

# The longest route of a table that holds the address. A rule can ask to pass over the shortest ones.
catches() {
  local shortest=-1
  if [[ $2 =~ suppress_prefixlength\ ([0-9]+) ]]; then shortest=${BASH_REMATCH[1]}; fi
  ip -o "$family" route show table "$1" match "$to" 2>/dev/null | tr -s '\t\134 ' ' ' | awk -v all="$length" -v shortest="$shortest" '
    { prefix = $1 ~ /^[a-z]+$/ && $1 != "default" ? $2 : $1
      long = prefix == "default" ? 0 : index(prefix, "/") ? substr(prefix, index(prefix, "/") + 1) : all
      metric = match($0, / metric [0-9]+/) ? substr($0, RSTART + 8, RLENGTH - 8) : 0
      if (long + 0 <= shortest + 0) next
      if (best == "" || long + 0 > best_long + 0 || long == best_long && metric + 0 < best_metric + 0) {
          best = $0; best_long = long; best_metric = metric
      } }
    END { print best }'
}

# What a rule asks for that is not known here counts as given, but not a mark, which WireGuard's packets have not once it
# sets none.
rule_applies() {
  local rule=$1 not=""
  if [[ $rule == " not "* ]]; then not=1; fi
  if [[ $rule =~ \ from\ ([^ ]+) && ${BASH_REMATCH[1]} != all ]] && ! prefix_holds "${BASH_REMATCH[1]}" "$from"; then return 1; fi
  if [[ $rule =~ \ to\ ([^ ]+) && ${BASH_REMATCH[1]} != all ]] && ! prefix_holds "${BASH_REMATCH[1]}" "$to"; then return 1; fi
  case $rule in
  *" fwmark "*) [ -n "$not" ] ;;
  *" iif lo "*) return 0 ;;
  *" iif "* | *" oif "*) return 1 ;;
  esac
}

# blame_route ROUTE [TABLE]: the table if it is not the main one.
blame_route() {
  local prefix
  prefix=$(awk '{ print $1 ~ /^[a-z]+$/ && $1 != "default" ? $2 : $1 }' <<<"$1")
  if [ "$prefix" = "$to" ] || [ "$prefix" = "$to/$length" ]; then
    finding "$id-route-wrong" "a route sends packets to $to elsewhere" "$1${2:-}" "ip $family route del $(route_key "$1")${2:-}"
  elif [ "$prefix" = default ]; then
    finding "$id-route" "there is no route to $to but the default one" "$1" "$add${2:-}"
  else
    finding "$id-route-wrong" "a route sends packets to $to elsewhere" "$1${2:-}" "$add${2:-}"
  fi
}

blame_rule() {
  local evidence="$preference: $rule${line:+, which has: $line}"
  if [[ " $rule " == *" to $to "* || " $rule " == *" from $from "* ]]; then
    finding "$id-rule" "a rule sends packets to $to elsewhere" "$evidence" "ip $family rule del pref $preference $(quoted "$rule")"
  else
    finding "$id-rule" "a rule sends packets to $to elsewhere" "$evidence" \
      "ip $family rule add to $to lookup main pref $((preference > 1 ? preference - 1 : 0))"
  fi
}

# quoted WORDS: as a shell needs them; names of devices and tables can hold anything.
quoted() {
  local words
  read -ra words <<<"$1"
  printf '%q ' "${words[@]}" | sed 's/ $//'
}

# What names a route for its deletion: its type, prefix, gateway, device and metric, without what is told only. A nexthop
# object stands for type, gateway and device, and with several ways the prefix for all.
route_key() {
  local words=() skip="" word all object=""
  read -ra all <<<"${1%% nexthop *}"
  if [[ " $1 " == *" nhid "* ]]; then object=1; fi
  for word in "${all[@]}"; do
    if [ -n "$skip" ]; then skip=""; continue; fi
    case $word in
    proto | scope | src | pref | error | mtu | advmss | expires | hoplimit) skip=1 ;;
    linkdown | onlink | dead | lock) ;;
    via | dev) if [ -n "$object" ]; then skip=1; else words+=("$word"); fi ;;
    blackhole | unreachable | prohibit) if [ -z "$object" ]; then words+=("$word"); fi ;;
    *) words+=("$word") ;;
    esac
  done
  quoted "${words[*]}"
}
