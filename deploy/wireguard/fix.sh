#!/usr/bin/env bash
# Runs the commands of diagnose.sh, and nothing else, until it finds nothing: live, without stopping anything.
#
#   fix.sh [--plan FILE] [--dry-run] [--persist] server|client
#
#   --dry-run   shows the commands; where one fault hides another, a run finds more
#   --persist   once nothing is wrong, makes that hold after a reboot, where the root file system does: wg0.conf as wg0
#               is now (the old one beside it), and a line in it that mends the rest whenever the tunnel comes up
#
# Exits with 0 if nothing is wrong any more, 1 if something is that no command mends, 2 if it was called wrongly.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PATH=$PATH:/usr/sbin:/sbin
# shellcheck source-path=SCRIPTDIR source=checks/plan.sh
. "$here/checks/plan.sh"

usage() { usage_error "usage: fix.sh [--plan FILE] [--dry-run] [--persist] server|client"; }

# Fills `told` with what diagnose.sh says, `found` with its findings' names and commands, and `left` with its status.
diagnose() {
  left=0
  told=$(bash "$here/diagnose.sh" --plan "$plan_file" --vain <(printf %s "$vain") "$role") || left=$?
  if [ "$left" -gt 1 ]; then exit "$left"; fi
  found=$(awk '/^[0-9]+[.] / { id = $2; sub(/:/, "", id) } sub(/^     mend:     /, "") { print id "\t" $0 }' <<<"$told")
}

# One at a time. A tunnel that this brings up asks for it again, and needs not.
alone() {
  [ -z "${WIREGUARD_MENDING:-}" ] || exit 0
  export WIREGUARD_MENDING=1
  exec 9>/run/wireguard-mend.lock
  if command -v flock >/dev/null; then flock 9; fi
}

# One round: what is found now. What a command starts must not inherit the lock, nor read the findings. `answers` has the
# commands, a line each, with the end of what they said.
mend() {
  local id command status said=/run/wireguard-mend.said
  answers=""
  while IFS=$'\t' read -r id command; do
    echo "[$id] $command"
    status=0
    bash -c "$command" </dev/null >"$said" 2>&1 9>&- || status=$?
    cat "$said"
    if [ "$status" != 0 ]; then echo "fix.sh: that failed; what is left is told below" >&2; fi
    # wg-quick shows its own commands.
    answers+="$command"$'\t'"it ended with $status; $(sed '/^\[#\]/d' "$said" | tail -n 3 | tr -s '\n\t ' ' ')"$'\n'
  done <<<"$1"
  rm -f "$said"
}

# Each file appears whole or not at all, and only root reads it.
persist() {
  local conf own
  umask 077
  conf=$(readlink -f /etc/wireguard/wg0.conf)
  own=$(dirname "$conf")/mend
  mkdir -p "$own"
  # Copied to itself, where it runs from there.
  if [ "$here" != "$own" ]; then cp -R "$here/checks" "$here/diagnose.sh" "$here/fix.sh" "$own/"; fi
  if ! [ "$plan_file" -ef "$own/plan" ]; then
    rm -f "$own/plan"
    cp "$plan_file" "$own/plan"
  fi
  chmod -R go= "$own"
  if [ -e "$conf" ] && ! [ -e "$conf.before" ]; then cat "$conf" >"$conf.before"; fi
  kept "$own" >"$conf.new"
  mv "$conf.new" "$conf"
  echo "kept: $conf is as wg0 is now, and mends the rest whenever wg0 comes up"
}

# The tunnel as it is, and what else the file says of the interface that it was brought up from.
kept() {
  local conf=/etc/wireguard/wg0.conf address others='table|preup|predown|postup|postdown|saveconfig'
  if [ /run/wireguard-mend/wg0.conf -nt "$conf" ]; then conf=/run/wireguard-mend/wg0.conf; fi
  if command -v resolvconf >/dev/null; then others+='|dns'; fi
  echo "[Interface]"
  for address in $(ip -o addr show dev wg0 scope global | awk '{ print $4 }'); do echo "Address = $address"; done
  echo "ListenPort = $own_port"
  echo "MTU = $tunnel_mtu"
  echo "PrivateKey = $(wg show wg0 private-key)"
  if [ -e "$conf" ]; then
    awk -v ours="$1/fix.sh" -v others="^($others)\$" '
      { name = tolower($0); sub(/[ \t]*=.*/, "", name); gsub(/[][ \t]/, "", name) }
      /^[ \t]*\[/ { interface = name == "interface"; next }
      interface && !index($0, ours) && name ~ others' "$conf"
  fi
  echo "PostUp = bash $(printf %q "$1")/fix.sh $role || true"
  wg showconf wg0 | awk '/^\[Peer\]/ { peers = 1; print "" } peers && NF'
}

plan_file=$here/plan vain="" dry="" keep="" role=""
while [ $# -gt 0 ]; do
  case $1 in
  --plan) [ $# -gt 1 ] || usage; plan_file=$2; shift ;;
  --dry-run) dry=1 ;;
  --persist) keep=1 ;;
  server | client) [ -z "$role" ] || usage; role=$1 ;;
  *) usage ;;
  esac
  shift
done
[ -n "$role" ] || usage
plan_read "$plan_file"
plan_side "$role"

if [ -n "$dry" ]; then
  diagnose
  cut -f 2 <<<"$found"
  exit
fi
alone
# Mending one thing can lay open the next, so rounds go on while they bring up anything new; twelve are more than there can
# be. What was run and is found again was in vain: it is not run once more, but there may be another way.
before=""
for _ in {1..12}; do
  diagnose
  if [ -n "$found" ] && [ "$found" = "$before" ]; then
    vain+=$answers
    diagnose
  fi
  [ -n "$found" ] || break
  mend "$found"
  before=$found
done
echo "$told"
if [ -n "$keep" ]; then
  if [ "$left" = 0 ]; then persist; else echo "fix.sh: nothing is kept while something is wrong" >&2; fi
fi
exit "$left"
