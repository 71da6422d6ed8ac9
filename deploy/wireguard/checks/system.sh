# shellcheck shell=bash
# What else of the system stands in the way: settings of the kernel, the listener, the hosts file.
# shellcheck disable=SC2154 # plan.sh and diagnose.sh set what is not set here

check_settings() {
  local ping=/proc/sys/net/ipv4/icmp_echo_ignore_all strict=/proc/sys/net/ipv4/conf
  if [ "$(cat $ping)" = 1 ]; then
    finding icmp-ignored "this machine answers no ping" "net.ipv4.icmp_echo_ignore_all = 1" "echo 0 >$ping"
  fi
  # The greater of the two counts. 1 drops what comes in by another way than an answer would take, which is no harm
  # while that way is right; 2 on wg0 leaves the other devices as they are.
  if [ -n "$path_wrong" ] && [ -e $strict/wg0 ] &&
    [ "$(sort -n $strict/all/rp_filter $strict/wg0/rp_filter | tail -n 1)" = 1 ]; then
    finding rp-filter "the kernel drops packets whose source it would not send to by wg0" \
      "net.ipv4.conf.{all,wg0}.rp_filter = $(cat $strict/all/rp_filter), $(cat $strict/wg0/rp_filter)" "echo 2 >$strict/wg0/rp_filter"
  fi
}

# The addresses and ports that are listened on: ADDRESS:PORT.
listening() { ss -Hltn | awk '{ sub(/%[^:]*/, "", $4); print $4 }' | sort -u; }

# Where HTTP is served: `served_address` and `served`, the port, as packets have them once they are past all translation.
# A process that is bound elsewhere is reached by translation, since it must not be started anew; `unserved` is then the
# finding.
find_listener() {
  local all where localnet=/proc/sys/net/ipv4/conf/wg0/route_localnet
  served_address=$own_tunnel served=$http unserved=()
  [ "$role" = server ] || return 0
  all=$(listening)
  # ss writes [::] for what takes IPv6 only, and * for both.
  if grep -qxE "(\*|0\.0\.0\.0|${own_tunnel//./\\.}):$http" <<<"$all"; then return; fi
  where=$(translated)
  if [ -n "$where" ]; then
    served_is "$where"
    # A tunnel that came anew has lost the setting, and not the rule.
    if [[ $where == 127.* && $(cat $localnet 2>/dev/null) == 0 ]]; then
      unserved=(listener-loopback "the HTTP server listens on loopback only" "net.ipv4.conf.wg0.route_localnet = 0" "echo 1 >$localnet")
    fi
    return
  fi
  where=$(grep -xE "127\.[0-9.]+:$http" <<<"$all" | head -n 1)
  if [ -n "$where" ]; then
    served_is "$where"
    unserved=(listener-loopback "the HTTP server listens on loopback only" "$where"
      "echo 1 >$localnet; $(translate dnat "$where")")
    return
  fi
  where=$(grep -xE "[0-9.]+:$http" <<<"$all" | head -n 1)
  if [ -n "$where" ]; then
    served_is "$where"
    unserved=(listener-address "the HTTP server listens on another address" "$where, not $own_tunnel" "$(translate dnat "$where")")
    return
  fi
  # SSH and DNS are what else listens on every address.
  where=$(grep -xE '(\*|0\.0\.0\.0):[0-9]+' <<<"$all" | grep -vE ':(22|53)$')
  if [ "$(grep -c . <<<"$where")" = 1 ]; then
    served_is ":${where##*:}"
    unserved=(listener-port "the HTTP server listens on another port" "$where, not port $http" "$(translate redirect ":$served")")
  else
    unserved=(listener-missing "nothing listens for HTTP where the tunnel ends" "listening: ${all//$'\n'/ }" ""
      "start the HTTP server, on port $http of every address or of $own_tunnel")
  fi
}

# served_is [ADDRESS]:PORT
# shellcheck disable=SC2034 # firewall.sh reads it
served_is() {
  served=${1##*:}
  if [ -n "${1%:*}" ]; then served_address=${1%:*}; fi
}

check_listener() {
  if [ ${#unserved[@]} -gt 0 ]; then finding "${unserved[@]}"; fi
  [ "$role" = server ] || return 0
  local pid waiting places
  while read -r pid; do
    if process_stopped "$pid"; then
      finding listener-stopped "the HTTP server was stopped" "process $pid has the state T" "kill -CONT $pid"
    fi
  done < <(ss -Hltnp "sport = :$served" | grep -o 'pid=[0-9]*' | sed 's/pid=//' | sort -un)
  read -r _ waiting places _ < <(ss -Hltn "sport = :$served" | sort -k 2,2nr)
  if [ "${waiting:-0}" -gt "${places:-0}" ]; then
    note "the HTTP server takes no connections, $waiting are waiting: see ss -ltnp, and what its process does"
  fi
}

# translate dnat|redirect [ADDRESS]:PORT
translate() {
  if [ -n "$nft" ]; then
    echo "nft 'add table ip mend; add chain ip mend prerouting { type nat hook prerouting priority -100; }; add rule ip mend prerouting iifname wg0 tcp dport $http $1 to $2'"
  elif [ "$1" = dnat ]; then
    echo "iptables -t nat -A PREROUTING -i wg0 -p tcp --dport $http -j DNAT --to-destination $2"
  else
    echo "iptables -t nat -A PREROUTING -i wg0 -p tcp --dport $http -j REDIRECT --to-ports ${2#:}"
  fi
}

# Where a rule as above sends HTTP from the tunnel, if someone listens there.
translated() {
  local to
  to=$(sed -nE "s/.*iifname \"?wg0\"? .*port [{]?${http}[}]? .*(redirect|dnat) to ([^ ]+)( .*)?$/\2/p" <<<"$rules" | head -n 1)
  case $to in
  '') ;;
  *:*) if [[ $open == *" ${to##*:} "* ]]; then echo "$to"; fi ;;
  *) if [[ $open == *" $to "* ]]; then echo ":$to"; fi ;;
  esac
}

check_names() {
  local name address held
  for name in server client; do
    address=${plan[${name}_tunnel]} name=${plan[${name}_name]}
    [ -n "$name" ] || continue
    held=$(awk -v name="$name" '!/^[ \t]*#/ { for (i = 2; i <= NF; i++) if ($i == name) all = all " " $1 } END { print substr(all, 2) }' /etc/hosts)
    if [ "$held" != "$address" ]; then
      finding names "/etc/hosts has another address for $name" "$name: ${held:-nothing}, not $address" "$(name_command)"
    fi
  done
}

# Other names of a line stay. The file is written in place: it may be a mount, which cannot be replaced.
name_command() {
  local word="([[:space:]])${name//./\\.}([[:space:]]|\$)"
  printf '%s' "{ sed -E '/^#/b; s/$word/\\1\\2/g; /^[^[:space:]]+[[:space:]]*\$/d' /etc/hosts; echo '$address $name'; }" \
    " >/run/hosts.new && cat /run/hosts.new >/etc/hosts"
}
