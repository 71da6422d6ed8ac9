# shellcheck shell=bash
# What this machine has that a plan needs to know. Those who read it decide whether it is as it should be.

facts() {
  local address gateway
  echo "# $(cat /proc/sys/kernel/hostname)"
  address=$(addresses -6 eth0 | tr ' ' '\n' | grep -m 1 '^fdaa:')
  fact 6pn "${address%/*}" "eth0 has no address in fdaa::/16"
  gateway=$(ip -6 route show default dev eth0 | sed -n 's/.*via \([^ ]*\).*/\1/p' | head -n 1)
  fact gateway "$gateway" "eth0 has no default route (none is needed if both machines are in one /112)"
  address=$(addresses -4 wg0)
  address=${address%% *}
  fact tunnel "${address%/*}" "wg0 has no IPv4 address"
  fact key "$(wg show wg0 public-key 2>/dev/null | grep -v none)" "wg0 has no key"
  fact port "$(wg show wg0 listen-port 2>/dev/null)" "wg0 has no port"
  echo "6pn_mtu=$(ip -o link show eth0 | sed -n 's/.* mtu \([0-9]*\) .*/\1/p')"
  if [ -r /etc/wireguard/preshared.key ]; then
    echo "preshared=/etc/wireguard/preshared.key"
  elif wg show wg0 preshared-keys 2>/dev/null | grep -qv 'none'; then
    echo "# wg0 has a preshared key: put it in a file, the same on both machines, and that file's name here as preshared=FILE"
  fi
}

# fact NAME VALUE WHY: WHY is told where there is no value.
# shellcheck disable=SC2154 # diagnose.sh sets role
fact() { if [ -n "$2" ]; then echo "${role}_$1=$2"; else echo "# ${role}_$1= is for you to fill in: $3"; fi; }
