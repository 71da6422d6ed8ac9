# shellcheck shell=bash
# WireGuard itself: the interface, its keys, the peer, its addresses and MTU.
# shellcheck disable=SC2154 # plan.sh and diagnose.sh set what is not set here

# Fails where there is no tunnel to look at.
check_tunnel() {
  local line
  if ! line=$(ip -o link show wg0 2>&1); then
    bring_up "$line"
    return 1
  fi
  case $line in *,UP* | *\<UP*) ;; *) finding tunnel-down "wg0 is down" "$(brief "$line")" "ip link set wg0 up" ;; esac
  case $line in *" mtu $tunnel_mtu "*) ;; *)
    finding tunnel-mtu "the MTU of wg0 is not $tunnel_mtu, that of eth0 less 80 for the outer headers" \
      "$(brief "$line")" "ip link set wg0 mtu $tunnel_mtu" ;;
  esac
}

# shellcheck disable=SC2034 # family, device and hop are for route_get and leaves
check_tunnel_settings() {
  local port mark key family=-6 device=eth0 hop
  port=$(wg show wg0 listen-port)
  find_holder
  if [ -n "$holder" ]; then
    finding tunnel-port "WireGuard's port is taken" "$holder has UDP port $own_port; wg0 has $port" "$(free_port)" \
      "end $holder or give it another port, and run this again"
  elif [ "$port" != "$own_port" ]; then
    finding tunnel-port "WireGuard listens on another port than the plan's" "listening port: $port, not $own_port" \
      "wg set wg0 listen-port $own_port"
  elif [ -z "$(port_sockets)" ] && is_up wg0; then
    # What had the port when wg0 came up has left a device without a socket.
    finding tunnel-port "wg0 has a port and no socket" "no socket has UDP port $own_port" "ip link set wg0 down; ip link set wg0 up"
  fi
  mark=$(wg show wg0 fwmark)
  hop=$(next_hop)
  # A mark is no harm as such. What is wrong without it too is found above.
  if [ "$mark" != off ] && ! leaves "$(route_get "$peer_6pn" mark "$mark")" && leaves "$(route_get "$peer_6pn")"; then
    finding tunnel-mark "WireGuard marks its packets, which rules then send elsewhere" "fwmark: $mark; $(route_get "$peer_6pn" mark "$mark")" "wg set wg0 fwmark 0"
  fi
  key=$(wg show wg0 public-key)
  if [ "$key" != "$own_key" ]; then
    finding tunnel-key "wg0 has another private key than the plan's" "public key: $key, not $own_key" "$(own_key_command)"
  fi
}

# The private key that belongs to the plan, if this machine still has it; else nothing here can mend it.
own_key_command() {
  local file=/etc/wireguard/private.key command
  if [ "$(cat $file 2>/dev/null | wg pubkey 2>/dev/null)" = "$own_key" ]; then
    echo "wg set wg0 private-key $file"
    return
  fi
  for file in /etc/wireguard/*.conf /etc/wireguard/*.conf.before; do
    command="sed -nE 's/^[[:space:]]*PrivateKey[[:space:]]*=[[:space:]]*//Ip' $(printf %q "$file")"
    if [ "$(bash -c "$command" 2>/dev/null | wg pubkey 2>/dev/null)" = "$own_key" ]; then
      echo "$command | wg set wg0 private-key /dev/stdin"
      return
    fi
  done
}

# Another device with this machine's key and this peer takes its answers. It keeps the peers that are not the plan's.
check_twins() {
  local device
  for device in $(devices); do
    if [ "$(wg show "$device" public-key 2>/dev/null)" = "$own_key" ] && wg show "$device" peers | grep -qxF "$peer_key"; then
      finding tunnel-twin "another device has this machine's key, and the same peer" "$device: $(wg show "$device" endpoints | squeezed)" \
        "wg set $(printf %q "$device") peer $peer_key remove"
    fi
  done
}

check_peers() {
  local key preshared endpoint allowed found=""
  while IFS=$'\t' read -r key preshared endpoint allowed _; do
    if [ "$key" = "$peer_key" ]; then
      found=1
      check_peer "$preshared" "$endpoint" "$allowed"
    elif [[ ",$allowed," == *",$peer_tunnel/32,"* || $endpoint == "[$peer_6pn]:$peer_port" ]]; then
      finding peer-stranger "a peer that is not in the plan holds the other machine's place" \
        "peer $key, endpoint $endpoint, allowed ips $allowed" "wg set wg0 peer $key remove"
    fi
  done < <(wg show wg0 dump | tail -n +2)
  if [ -z "$found" ]; then
    finding peer-missing "wg0 does not know the other machine" "no peer $peer_key" \
      "wg set wg0 peer $peer_key endpoint [$peer_6pn]:$peer_port allowed-ips $peer_tunnel/32 preshared-key $(preshared_file)"
  fi
}

preshared_file() { if [ "${plan[preshared]}" = none ]; then echo /dev/null; else echo "${plan[preshared]}"; fi; }

check_peer() {
  local preshared=$1 endpoint=$2 allowed=$3
  check_preshared "$preshared"
  # A server may wait until the client speaks.
  if [ "$endpoint" != "[$peer_6pn]:$peer_port" ] && ! { [ "$role" = server ] && [ "$endpoint" = "(none)" ]; }; then
    finding peer-endpoint "WireGuard sends to another endpoint" "endpoint: $endpoint, not [$peer_6pn]:$peer_port" \
      "wg set wg0 peer $peer_key endpoint [$peer_6pn]:$peer_port" \
      "the other machine sends from there, as a second device with its key does: diagnose and mend it first"
  fi
  if [ "$allowed" != "$peer_tunnel/32" ]; then
    finding peer-allowed-ips "the peer may not use its address, or more than it" \
      "allowed ips: $allowed, not $peer_tunnel/32" "wg set wg0 peer $peer_key allowed-ips $peer_tunnel/32"
  fi
}

# The evidence never shows the keys themselves.
check_preshared() {
  local wanted="(none)" has=another
  if [ "${plan[preshared]}" != none ] && ! wanted=$(cat "${plan[preshared]}" 2>/dev/null); then
    finding peer-preshared "the preshared key of the plan is not on this machine" "no file ${plan[preshared]}" ""
    return
  fi
  if [ "$1" = "$wanted" ]; then return; fi
  if [ "$1" = "(none)" ]; then has=none; fi
  finding peer-preshared "the preshared key is not that of the plan" "wg0 has $has, the plan: ${plan[preshared]}" \
    "wg set wg0 peer $peer_key preshared-key $(preshared_file)"
}

check_tunnel_address() {
  local held wrong
  held=$(addresses -4 wg0)
  for wrong in $held; do
    case $wrong in "$own_tunnel/"* | "$peer_tunnel/"*) continue ;; esac
    if prefix_holds "$own_tunnel/${plan[prefix]}" "${wrong%/*}"; then
      finding tunnel-address-other "wg0 has an address that is not in the plan, and may send from it" "$wrong" \
        "ip addr del $wrong dev wg0"
    fi
  done
  if [[ " $held " != *" $own_tunnel/"* ]]; then
    finding tunnel-address "wg0 lacks this machine's address" "wg0 has ${held:-no address}" \
      "ip addr add $own_tunnel/${plan[prefix]} dev wg0"
  fi
  check_not_ours tunnel-address-taken -4 "$peer_tunnel"
}
