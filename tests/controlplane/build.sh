#!/usr/bin/env bash
# Builds etcd, the Kubernetes control plane and KWOK from source, once for all clones on this machine, and prints the
# directory that holds them. Progress goes to stderr.
#
#   SCALEGATE_CONTROLPLANE  a directory of ready binaries to use instead
#   SCALEGATE_CACHE         where to keep what is built (default: ~/.cache/scalegate)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
binaries="etcd kube-apiserver kube-controller-manager kube-scheduler kwok"

say() { printf 'control plane: %s\n' "$*" >&2; }

complete() {
    local name
    for name in $binaries; do
        [ -x "$1/$name" ] || { missing=$name; return 1; }
    done
}

if [ -n "${SCALEGATE_CONTROLPLANE:-}" ]; then
    complete "$SCALEGATE_CONTROLPLANE" || { say "SCALEGATE_CONTROLPLANE=$SCALEGATE_CONTROLPLANE has no $missing"; exit 1; }
    printf '%s\n' "$SCALEGATE_CONTROLPLANE"
    exit 0
fi

command -v go >/dev/null || { say "needs Go 1.26 (or SCALEGATE_CONTROLPLANE, a directory of ready binaries)"; exit 1; }

# The key changes with whatever goes into a build.
key=$(cd "$here" && cat build.sh go.mod go.sum cmd/*/main.go kwok/go.mod kwok/go.sum | git hash-object --stdin | cut -c1-12)
cache=${SCALEGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/scalegate}/controlplane
directory=$cache/$(go env GOOS)-$(go env GOARCH)-$key
if complete "$directory"; then
    printf '%s\n' "$directory"
    exit 0
fi

# Two builds at once each make their own directory; the first to finish is kept.
mkdir -p "$cache"
work=$(mktemp -d "$cache/building.XXXXXX")
trap 'rm -rf "$work"' EXIT

kubernetes=$(sed -n 's/^\tk8s.io\/kubernetes //p' "$here/go.mod")
minor=${kubernetes#v1.}
minor=${minor%%.*}
version="-X k8s.io/component-base/version.gitVersion=$kubernetes
    -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=$minor
    -X k8s.io/client-go/pkg/version.gitVersion=$kubernetes"

build() { # number, name, module directory, package
    local started=$SECONDS
    say "[$1/5] building $2"
    (cd "$3" && CGO_ENABLED=0 GOFLAGS=-buildvcs=false go build -trimpath -ldflags "-s -w $version" -o "$work/$2" "$4")
    say "[$1/5] $2 done in $((SECONDS - started)) s"
}

say "building Kubernetes $kubernetes from source, once: about 10 minutes on two cores; later runs find it in $cache"
build 1 etcd "$here" ./cmd/etcd
build 2 kube-apiserver "$here" ./cmd/kube-apiserver
build 3 kube-controller-manager "$here" ./cmd/kube-controller-manager
build 4 kube-scheduler "$here" ./cmd/kube-scheduler
build 5 kwok "$here/kwok" sigs.k8s.io/kwok/cmd/kwok

# Of two builds at once, the one that ends first is kept.
if ! complete "$directory"; then
    rm -rf "$directory"
    mv "$work" "$directory"
fi
printf '%s\n' "$directory"
