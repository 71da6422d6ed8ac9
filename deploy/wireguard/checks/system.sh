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

# Who listens for HTTP. A process that is bound to another address or port is reached by rewriting, since it must not be
# started anew. Sets http_found, the port where 6PN may reach it.
check_listener() {
  local all where
  http_found=$http
  [ "$role" = server ] || return 0
  all=$(listening)
  # ss writes [::] for what takes IPv6 only, and * for both.
  if grep -qxE "(\*|0\.0\.0\.0|${own_tunnel//./\\.}):$http" <<<"$all"; then return; fi
  where=$(rewritten)
  if [ -n "$where" ]; then
    reached_by_6pn "$where"
    return
  fi
  where=$(grep -xE "127\.[0-9.]+:$http" <<<"$all" | head -n 1)
  if [ -n "$where" ]; then
    finding listener-loopback "the HTTP server listens on loopback only" "$where" \
      "echo 1 >/proc/sys/net/ipv4/conf/wg0/route_localnet; $(rewrite DNAT "$where")"
    return
  fi
  where=$(grep -xE "[0-9.]+:$http" <<<"$all" | head -n 1)
  if [ -n "$where" ]; then
    finding listener-address "the HTTP server listens on another address" "$where, not $own_tunnel" "$(rewrite DNAT "$where")"
    return
  fi
  # SSH and DNS are what else listens on every address.
  where=$(grep -xE '(\*|0\.0\.0\.0):[0-9]+' <<<"$all" | grep -vE ':(22|53)$')
  if [ "$(grep -c . <<<"$where")" = 1 ]; then
    reached_by_6pn "${where##*:}"
    finding listener-port "the HTTP server listens on another port" "$where, not port $http" "$(rewrite REDIRECT "${where##*:}")"
  else
    finding listener-missing "nothing listens for HTTP where the tunnel ends" "listening: ${all//$'\n'/ }" ""
  fi
}

# shellcheck disable=SC2034 # firewall.sh reads it
reached_by_6pn() { if grep -qxF -e "*:$1" -e "[::]:$1" <<<"$all"; then http_found=$1; fi; }

# rewrite DNAT|REDIRECT TO
rewrite() {
  if [ -n "$nft" ]; then
    echo "nft 'add table ip mend; add chain ip mend prerouting { type nat hook prerouting priority -100; }; add rule ip mend prerouting iifname wg0 tcp dport $http $([ "$1" = DNAT ] && echo dnat to "$2" || echo redirect to ":$2")'"
  else
    echo "iptables -t nat -A PREROUTING -i wg0 -p tcp --dport $http -j $([ "$1" = DNAT ] && echo DNAT --to-destination "$2" || echo REDIRECT --to-ports "$2")"
  fi
}

# The port that HTTP from the tunnel is sent to by a rule as above.
rewritten() { sed -nE "s/.*iifname \"?wg0\"? .*port [{]?${http}[}]? .*(redirect|dnat) to ([^ ]*:)?([0-9]+)( .*)?$/\3/p" <<<"$rules" | head -n 1; }

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
