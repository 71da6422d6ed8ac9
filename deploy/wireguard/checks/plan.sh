# shellcheck shell=bash
# The plan: what both machines should be. Public data, the same file on both, `key=value` a line.

# Keys that a plan must have, then those that it may have, with what they are where it does not.
plan_required=(server_6pn server_tunnel server_key client_6pn client_tunnel client_key)
declare -A plan=(
  [server_port]=51820 [client_port]=51820 [server_gateway]='' [client_gateway]='' [server_name]='' [client_name]=''
  [prefix]=24 [6pn_prefix]=112 [6pn_mtu]=1500 [http]=8080 [preshared]=none
)

usage_error() {
  echo "${0##*/}: $*" >&2
  exit 2
}

plan_check_value() {
  local key=$1 value=$2 pattern least=1 most=65535
  case $key in
  *_6pn | *_gateway) pattern='^[0-9a-f:]*:[0-9a-f:]*$' ;;
  *_tunnel) pattern='^((25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])(\.|$)){4}$' ;;
  *_key) pattern='^[A-Za-z0-9+/]{43}=$' ;;
  *_name) pattern='^[a-z0-9][a-z0-9.-]*$' ;;
  preshared) pattern='^(none|/[A-Za-z0-9._/-]+)$' ;;
  *) pattern='^[1-9][0-9]{0,4}$' ;;
  esac
  case $key in prefix) most=32 ;; 6pn_prefix) most=128 ;; 6pn_mtu) least=1280 ;; esac
  [[ $value =~ $pattern ]] || usage_error "the plan's $key is '$value', which it cannot be"
  if [[ $pattern == '^[1-9]'* ]] && ((value < least || value > most)); then
    usage_error "the plan's $key is '$value', but goes from $least to $most"
  fi
}

# plan_read FILE: fills `plan`. The file is read, never run.
plan_read() {
  local file=$1 line key value number=0 given=" "
  [ -f "$file" ] && [ -r "$file" ] || usage_error "there is no plan at $file; NOTES.md says how to write one"
  while IFS= read -r line || [ -n "$line" ]; do
    number=$((number + 1))
    # What came through a console of Fly has carriage returns.
    line=${line%$'\r'}
    case $line in '' | '#'*) continue ;; esac
    key=${line%%=*} value=${line#*=}
    case " ${plan_required[*]} ${!plan[*]} " in
    *" $key "*) ;;
    *) usage_error "$file, line $number: '$key' is no key of a plan" ;;
    esac
    plan_check_value "$key" "$value"
    case $given in *" $key "*)
      [ "${plan[$key]}" = "$value" ] || usage_error "$file, line $number: $key is ${plan[$key]} further up and $value here"
      ;;
    esac
    given+="$key "
    plan[$key]=$value
  done <"$file"
  for key in "${plan_required[@]}"; do
    [ -n "${plan[$key]:-}" ] || usage_error "$file has no $key"
  done
  if prefix_holds "${plan[server_6pn]}/${plan[6pn_prefix]}" "${plan[client_6pn]}"; then return; fi
  for key in server_gateway client_gateway; do
    [ -n "${plan[$key]}" ] ||
      usage_error "$file has no $key, the next hop to the other machine, which is not on the same link"
  done
}

# prefix_holds PREFIX ADDRESS
# shellcheck disable=SC2154 # who reads this file sets here
prefix_holds() {
  awk -f "$here/checks/address.awk" -f <(echo 'BEGIN { exit !holds(ARGV[1], ARGV[2]) }') "$1" "$2"
}

# plan_side server|client: what is this machine's, and what the other's.
plan_side() {
  local role=$1 peer=client
  if [ "$role" = client ]; then peer=server; fi
  own_6pn=${plan[${role}_6pn]} own_tunnel=${plan[${role}_tunnel]} own_port=${plan[${role}_port]} own_key=${plan[${role}_key]}
  peer_6pn=${plan[${peer}_6pn]} peer_tunnel=${plan[${peer}_tunnel]} peer_port=${plan[${peer}_port]} peer_key=${plan[${peer}_key]}
  own_gateway=${plan[${role}_gateway]} http=${plan[http]}
  # Room for the outer IPv6 header (40), UDP (8), and WireGuard's own (32).
  tunnel_mtu=$((plan[6pn_mtu] - 80))
  export own_6pn own_tunnel own_port own_key peer_6pn peer_tunnel peer_port peer_key own_gateway http tunnel_mtu
}
