# shellcheck shell=bash
# Why there is no wg0, or no socket behind it: lines of wg0.conf, another with its port, a process that is stopped.
# shellcheck disable=SC2154 # plan.sh and diagnose.sh set what is not set here

conf=/etc/wireguard/wg0.conf own_conf=/run/wireguard-mend/wg0.conf

# The ways to bring the tunnel up, the least change first: as wg0.conf says; without the lines that stop it; and by the
# plan alone, after which other checks find the key and the peer that it lacks. fix.sh tells which were run in vain.
bring_up() {
  local evidence=$1 ways=() way
  find_holder
  if [ -n "$holder" ]; then
    finding tunnel-missing "there is no wg0, and its port is taken" "$evidence; $holder has UDP port $own_port" \
      "$(free_port)" "end $holder or give it another port, and run this again"
    return
  fi
  if [ -r "$conf" ]; then
    read_conf
    if [ -z "$bad_lines" ] && [ -z "$bad_rest" ]; then ways+=("wg-quick up wg0"); fi
    if [ -n "$bad_lines" ] && [ -z "$bad_rest" ]; then ways+=("$(up_from "sed '${bad_lines// /;}' $conf")"); fi
    evidence+=$bad_words${bad_rest:+; $conf: $bad_rest}
  else
    evidence+="; there is no $conf"
  fi
  ways+=("$(up_from "printf '%s\\n' '[Interface]' 'Address = $own_tunnel/${plan[prefix]}' 'ListenPort = $own_port' 'MTU = $tunnel_mtu'")")
  for way in "${ways[@]}"; do
    if [ -z "${vain["$way"]+run}" ] || [ "$way" = "${ways[-1]}" ]; then break; fi
    evidence+="; $way: ${vain["$way"]}"
  done
  finding tunnel-missing "there is no wg0" "$evidence" "$way"
}

# A file of root's alone, since keys are in it; wg-quick takes the interface's name from the file's.
up_from() { echo "mkdir -p -m 700 ${own_conf%/*} && (umask 077; $1 >$own_conf) && wg-quick up $own_conf"; }

# Fills `bad_lines` with sed's words for deleting the lines that cannot be used here, `bad_words` with why, and `bad_rest`
# with what is wrong without them. wg reads a configuration before it looks for the device, which is none.
read_conf() {
  local line key number=0 section="" words rest=""
  bad_lines="" bad_words="" bad_rest=""
  while IFS= read -r line || [ -n "$line" ]; do
    number=$((number + 1)) words="" line=${line%%#*}
    key=${line%%=*} key=${key//[[:space:]]/} key=${key,,}
    case $section$key in
    "$section") continue ;;
    *"[interface]" | *"[peer]") section=$key ;;
    "[interface]dns") if command -v resolvconf >/dev/null; then continue; else words="resolvconf is not here"; fi ;;
    "[interface]"[!\[]*)
      case $key in address | mtu | table | preup | predown | postup | postdown | saveconfig) continue ;; esac
      words=$(read_by_wg "$section" "$line")
      ;;
    "[peer]"[!\[]*) words=$(read_by_wg "$section" "PublicKey = $peer_key" "$line") ;;
    *) words=$(read_by_wg "$section" "$line") ;;
    esac
    if [ -n "$words" ]; then
      bad_lines+="${bad_lines:+ }${number}d"
      # Keys are not shown.
      case $key in *key) bad_words+="; line $number, $key: wg cannot read it" ;; *) bad_words+="; line $number, ${line# }: $words" ;; esac
    else
      rest+=$line$'\n'
    fi
  done <"$conf"
  bad_rest=$(read_by_wg "$rest")
}

# read_by_wg LINE...: what wg says against a configuration; nothing if it can read it.
read_by_wg() {
  local words status=0
  words=$(printf '%s\n' "$@" | WG_ENDPOINT_RESOLUTION_RETRIES=0 timeout 5 wg setconf not-there /dev/stdin 2>&1) || status=$?
  if [ $status = 124 ]; then words="the name was not resolved within 5 s"; fi
  grep -vE '^(Unable to modify interface|Warning)' <<<"$words" | sed -n 1p
}

# Fills `holder` with who has this machine's UDP port, if wg0 has not, and `holder_device` with its name if that is
# another WireGuard device. Sockets of the kernel's WireGuard have no process.
find_holder() {
  local line name pid device
  holder="" holder_device=""
  while read -r line; do
    if [[ $line =~ \(\(\"([^\"]*)\",pid=([0-9]+) ]]; then
      name=${BASH_REMATCH[1]} pid=${BASH_REMATCH[2]} device=""
      if [ "$name" = wireguard-go ]; then device=$(tr '\0' '\n' <"/proc/$pid/cmdline" | tail -n 1); fi
      name+=" (process $pid)"
    else
      device=$(listening_device)
      name=${device:-the kernel}
    fi
    if [ "$device" = wg0 ]; then
      holder="" holder_device=""
      return
    fi
    holder=$name holder_device=$device
  done < <(port_sockets)
}

port_sockets() { ss -Huanp "sport = :$own_port"; }

listening_device() {
  local device
  for device in wg0 $(devices); do
    if is_up "$device" && [ "$(wg show "$device" listen-port 2>/dev/null)" = "$own_port" ]; then
      echo "$device"
      return
    fi
  done
}

is_up() { ip -o link show up dev "$1" 2>/dev/null | grep -q .; }

# Another device keeps its port, unless it has this machine's key: then it answers in place of wg0.
free_port() {
  if simple "$holder_device" && [ "$(wg show "$holder_device" public-key 2>/dev/null)" = "$own_key" ]; then
    echo "wg set $holder_device listen-port 0"
  fi
}

# The other WireGuard devices, without those that would not answer.
devices() {
  local device
  for device in $(wg show interfaces); do
    if [ "$device" != wg0 ] && ! asleep "$device"; then echo "$device"; fi
  done
}

# A process that is stopped answers nothing, not even wg. Fills `sleeping` with such devices and their processes.
find_sleeping() {
  local device pid
  while read -r device pid; do
    if process_stopped "$pid"; then sleeping["$device"]=$pid; fi
  done < <(ss -Hxlp | sed -nE 's/.*\/wireguard\/([A-Za-z0-9_=+.-]+)\.sock .*pid=([0-9]+).*/\1 \2/p')
}

process_stopped() { [[ $(cat "/proc/$1/stat" 2>/dev/null) =~ .*\)\ [Tt]\  ]]; }
asleep() { [ -n "${sleeping["$1"]:-}" ]; }

check_stopped() {
  if asleep wg0; then
    finding tunnel-stopped "the process that is wg0 was stopped" "process ${sleeping[wg0]} has the state T" "kill -CONT ${sleeping[wg0]}"
  fi
}

# Asking a process that is stopped would take forever.
wg() {
  if asleep wg0 && [[ " $* " == *" wg0 "* ]]; then return 1; fi
  command wg "$@"
}
