# shellcheck shell=bash
# Where packets for the other machine leave, and what sends them elsewhere. What names its address alone is taken away;
# before what is wider, and may serve others, the tunnel gets a route or a rule of its own.
# shellcheck disable=SC2154 # plan.sh and diagnose.sh set what is not set here

# check_path ID FAMILY TO FROM DEVICE HOP MTU: packets to TO must leave by DEVICE, by way of HOP if there is one.
check_path() {
  local id=$1 family=$2 to=$3 from=$4 device=$5 hop=$6 mtu=$7 got add length=32
  if [ "$family" = -6 ]; then length=128; fi
  add="ip $family route replace $to/$length ${hop:+via $hop }dev $device${hop:+ onlink}"
  path_wrong=""
  # Rules can ask for the source, which an answer has from the start and a first packet gets by its route.
  for got in "$(route_get "$to")" "$(held_here "$from" && route_get "$to" from "$from")"; do
    if [ -n "$got" ] && ! leaves "$got"; then
      # shellcheck disable=SC2034 # system.sh reads it
      path_wrong=1
      blame "$got"
      return
    fi
  done
  while IFS= read -r got; do
    note "whether this rule takes the tunnel's packets cannot be told: $got"
  done < <(ip "$family" rule show | grep -E ' (ipproto|sport|dport|uidrange) ')
  got=$(route_get "$to")
  if [[ $family = -4 && $got == *" src "* && $got != *" src $from "* ]] && held_here "$from"; then
    finding "$id-source" "packets to $to carry another source than this machine's address" "$got" "$add src $from"
  elif [[ "$got " =~ \ mtu\ (lock\ )?([0-9]+)\  && ${BASH_REMATCH[2]} -lt $mtu ]]; then
    finding "$id-route-mtu" "the route to $to is for smaller packets than $device takes" "$got" "$add mtu $mtu"
  fi
}

route_get() { ip -o "$family" route get "$@" 2>&1 | tr '\n\134' '  '; }
held_here() { ip -o addr show | grep -qF " $1/"; }

# An address that is on this machine though it is the other's is found by another check. WireGuard knows no next hop.
leaves() {
  case "$1 " in
  "local "*) return 0 ;;
  *" dev wg0 "*) [ "$device" = wg0 ] ;;
  *" via ${hop:-none} dev $device "*) return 0 ;;
  *" via "*) [ "$device" = eth0 ] && [ -z "$own_gateway" ] && [[ "$1 " == *" dev $device "* ]] ;;
  *" dev $device "*) [ -z "$hop" ] ;;
  *) return 1 ;;
  esac
}

# Looks packets up as the kernel does, rule by rule, until something catches them. Each finding is of what does.
blame() {
  local got=$1 preference rule table line
  while IFS=: read -r preference rule; do
    rule=$(tr -s '\t ' ' ' <<<"${rule/\[detached\]/}")
    rule=${rule# } rule=${rule% }
    rule_applies " $rule " || continue
    table=$(sed -n 's/.*lookup \([^ ]*\).*/\1/p' <<<"$rule")
    if [ -n "$table" ]; then
      line=$(catches "$table" "$rule")
      case $line in
      '' | throw*) continue ;;
      local*) return ;;
      esac
      if [[ $table == main || $table == default ]]; then
        blame_route "$line"
        return
      fi
    fi
    blame_rule "$preference" "$rule" "${line:-}"
    return
  done < <(ip "$family" rule show)
  finding "$id-route" "there is no route to $to" "$got" "$add"
}

# The longest route of a table that holds the address. A rule can ask to pass over the shortest ones.
catches() {
  local shortest=-1
  if [[ $2 =~ suppress_prefixlength\ ([0-9]+) ]]; then shortest=${BASH_REMATCH[1]}; fi
  ip "$family" route show table "$1" match "$to" 2>/dev/null | awk -v all="$length" -v shortest="$shortest" '
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

blame_route() {
  local prefix
  prefix=$(awk '{ print $1 ~ /^[a-z]+$/ && $1 != "default" ? $2 : $1 }' <<<"$1")
  if [ "$prefix" = "$to" ] || [ "$prefix" = "$to/$length" ]; then
    finding "$id-route-wrong" "a route sends packets to $to elsewhere" "$1" "ip $family route del $(route_key "$1")"
  elif [ "$prefix" = default ]; then
    finding "$id-route" "there is no route to $to but the default one" "$1" "$add"
  else
    finding "$id-route-wrong" "a route sends packets to $to elsewhere" "$1" "$add"
  fi
}

blame_rule() {
  local preference=$1 rule=$2
  local evidence="$preference: $rule${3:+, which has: $3}"
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

# What names a route for its deletion: its type, prefix, gateway, device and metric, without what is told only.
route_key() {
  local words=() skip="" word all
  read -ra all <<<"$1"
  for word in "${all[@]}"; do
    if [ -n "$skip" ]; then skip=""; continue; fi
    case $word in
    proto | scope | src | pref | error | mtu | advmss | expires) skip=1 ;;
    linkdown | onlink | dead | lock) ;;
    *) words+=("$word") ;;
    esac
  done
  quoted "${words[*]}"
}
