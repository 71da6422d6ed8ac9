# shellcheck shell=bash
# What wg-quick adds beside the interface, and nobody takes away once the allowed IPs are others: a route for each of them,
# and for a /0 also a mark, two rules, a table, and a packet filter for each family.
# shellcheck disable=SC2154 # plan.sh and diagnose.sh set what is not set here

# Fills `left_over` with findings, and `left_behind` with the routes and rules among them, a line each, which must go
# before others are judged.
find_leftovers() {
  local mark tables=" " theirs family
  left_over=() left_behind=$'\n'
  # What other peers of wg0 may have is theirs, and so is a tunnel for everything.
  theirs=$(wg show wg0 allowed-ips 2>/dev/null | awk -v peer="$peer_key" '$1 != peer { $1 = ""; print }' | squeezed)
  if [[ ! " $theirs " =~ /0\  ]]; then
    mark=$(wg show wg0 fwmark 2>/dev/null)
    if [[ $mark == 0x* ]]; then mark=$((mark)); fi
    if [ "$mark" = 51820 ] || has_tunnel_routes "$mark"; then tables+="$mark "; fi
    for family in -4 -6; do left_rules; done
  fi
  for family in -4 -6; do left_routes; done
  [[ ! " $theirs " =~ /0\  ]] || return 0
  if [[ $mark && $tables == *" $mark "* ]]; then
    left_over+=("the mark that these rules ask for" "fwmark: $mark" "wg set wg0 fwmark 0")
  fi
  left_filters
}

check_leftovers() {
  local i
  for ((i = 0; i < ${#left_over[@]}; i += 3)); do
    finding wg-quick-left "wg-quick added this for allowed IPs that are not in the plan: ${left_over[i]}" "${left_over[@]:i + 1:2}"
  done
}

has_tunnel_routes() { [[ $1 =~ ^[0-9]+$ ]] && tunnel_routes | grep -q " table $1 "; }

# The routes by wg0 of all tables, of this family or of both.
tunnel_routes() {
  local each
  for each in ${family:--4 -6}; do ip -o "$each" route show table all 2>/dev/null; done | sed 's/$/ /' | grep ' dev wg0 '
}

# wg-quick's rules: `not from all fwmark N lookup N`, and right before it one for the main table without its default
# route. A table that another device uses, or whose mark another has, is that one's.
left_rules() {
  local preference rule last="" last_preference="" table
  while IFS=: read -r preference rule; do
    rule=$(squeezed <<<"$rule")
    if [[ $rule =~ ^not\ from\ all\ fwmark\ (0x[0-9a-f]+)\ lookup\ ([0-9]+)$ && $((BASH_REMATCH[1])) = "${BASH_REMATCH[2]}" ]]; then
      table=${BASH_REMATCH[2]}
      if ! used_by_another "$table"; then
        tables+="$table " left_behind+="$rule"$'\n'
        left_over+=("a rule sends unmarked packets into wg0" "$preference: $rule" "ip $family rule del pref $preference $rule")
        if [[ $last == "from all lookup main suppress_prefixlength 0" && $((preference - last_preference)) = 1 ]]; then
          left_over+=("a rule skips the default route" "$last_preference: $last" "ip $family rule del pref $last_preference $last")
        fi
      fi
    fi
    last=$rule last_preference=$preference
  done < <(ip "$family" rule show)
}

used_by_another() {
  local device each
  for each in -4 -6; do
    if ip -o "$each" route show table "$1" 2>/dev/null | sed 's/$/ /' | grep -qv ' dev wg0 '; then return 0; fi
  done
  for device in $(devices); do
    each=$(wg show "$device" fwmark 2>/dev/null)
    if [[ $each == 0x* && $((each)) = "$1" ]]; then return 0; fi
  done
  return 1
}

# Routes into wg0 of prefixes that no peer takes. Those in the tunnel's own network are no harm.
left_routes() {
  local route prefix table owner
  while read -r route; do
    [[ $route != *" proto kernel "* ]] || continue
    table=main
    if [[ $route =~ \ table\ ([^ ]+) ]]; then table=${BASH_REMATCH[1]}; fi
    [[ " main$tables" == *" $table "* ]] || continue
    prefix=${route%% *}
    for owner in "$own_tunnel/${plan[prefix]}" $theirs; do
      if covers "$owner" "$prefix"; then continue 2; fi
    done
    left_behind+="${route% }"$'\n'
    left_over+=("a route into wg0 for addresses that no peer takes" "$route" "ip $family route del $(route_key "$route")")
  done < <(tunnel_routes)
}

# covers PREFIX PREFIX: whether the second lies in the first.
covers() {
  local wide=$1 narrow=$2 length
  if [ "$narrow" = default ]; then if [ "$family" = -6 ]; then narrow=::/0; else narrow=0.0.0.0/0; fi; fi
  length=${narrow#*/}
  [[ $narrow == */* ]] || length=128
  [[ $wide == */* ]] && [ "$length" -ge "${wide#*/}" ] && prefix_holds "$wide" "${narrow%/*}"
}

# With nft a table for each family; without, rules with a comment, which nft does not show.
left_filters() {
  local family tool
  for family in ip ip6; do
    if [[ $rules == *"table $family wg-quick-wg0 "* ]]; then
      left_over+=("a packet filter" "table $family wg-quick-wg0" "nft delete table $family wg-quick-wg0")
    fi
  done
  for tool in $filter_tools $(newer_iptables); do
    if [[ $("$tool-save" 2>/dev/null) == *"$wg_quick_comment"* ]]; then
      left_over+=("packet filters" "$tool-save: $wg_quick_comment"
        "$tool-save | sed -n '/^[*]/p; /^COMMIT/p; /$wg_quick_comment/s/^-A /-D /p' | $tool-restore -n")
    fi
  done
}

wg_quick_comment='wg-quick(8) rule for wg0"'

# The iptables whose tables nft shows, if they have what wg-quick would write into.
newer_iptables() {
  local tool
  [[ $nft && $rules =~ table\ ip6?\ raw\  ]] || return 0
  for tool in iptables ip6tables; do
    case $("$tool" --version 2>/dev/null) in *nf_tables*) echo "$tool" ;; esac
  done
}
