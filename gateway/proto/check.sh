#!/usr/bin/env bash
# Checks the style of the proto, and that clients of the released one (baseline.binpb) still understand it.
#
#   gateway/proto/check.sh            what `make lint` runs
#   gateway/proto/check.sh --update   regenerates baseline.binpb for a release; nothing in it may be removed later
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=$("$here/../../charts/tools/install.sh")
buf="$tools/buf"
if [ ! -x "$buf" ]; then
  echo "proto: skipped, without buf" >&2
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export BUF_CACHE_DIR="$work/cache"

if [ "${1:-}" = --update ]; then
  "$buf" build "$here" --as-file-descriptor-set --exclude-source-info --output "$here/baseline.binpb"
  exit
fi

echo "proto: buf" >&2
"$buf" lint "$here"
"$buf" breaking "$here" --against "$here/baseline.binpb"

# A check that lets everything pass would look the same: each of these changes has to be refused.
refuses() {
  rm -rf "$work/changed"
  cp -r "$here" "$work/changed"
  sed -i.before "$1" "$work/changed/scalegate/v1/replica_service.proto"
  if cmp -s "$work/changed/scalegate/v1/replica_service.proto"{,.before}; then
    echo "proto: $1 changes nothing" >&2
    exit 1
  fi
  if "$buf" breaking "$work/changed" --against "$here/baseline.binpb" >/dev/null 2>&1; then
    echo "proto: buf breaking lets $1 pass" >&2
    exit 1
  fi
}
refuses '/string if_version = 5;/d'
refuses 's/optional int32 replicas = 2;/optional int64 replicas = 2;/'
refuses '/rpc ListPolicies/d'
