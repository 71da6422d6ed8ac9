#!/usr/bin/env bash
# Makes bases for the image where no container registry can be reached, from Debian packages and the Rust toolchain of
# this machine: localhost/scalegate-builder and localhost/scalegate-runtime. Needs Debian, root, buildah and debootstrap.
#
#   eval "$(deploy/image/local-bases.sh)" && make image
set -euo pipefail

suite=${SUITE:-bookworm}
for program in buildah debootstrap dpkg-deb apt-get rustc; do
    command -v "$program" >/dev/null || { echo "$program is missing" >&2; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo "debootstrap needs root" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# commit ROOT NAME [CONFIG...]: an image of one layer.
commit() {
    local container root=$1 name=$2
    shift 2
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$root" / >&2
    buildah config "$@" "$container"
    buildah commit --quiet --format docker --rm "$container" "$name" >&2
}

if ! buildah inspect --type image localhost/scalegate-builder >/dev/null 2>&1; then
    # shellcheck disable=SC2016  # apt's own variables
    mirror=$(apt-get indextargets --format '$(SITE) $(CODENAME)' 'Created-By: Packages' |
        awk -v suite="$suite" '$2 == suite { print $1; exit }')
    debootstrap --variant=minbase --include=gcc,libc6-dev,ca-certificates "$suite" "$work/builder" "$mirror" >&2
    rm -rf "$work"/builder/var/cache/apt/archives/*.deb "$work"/builder/var/lib/apt/lists/*
    # A network that ends TLS itself is trusted through this machine's own authorities.
    cp /etc/ssl/certs/ca-certificates.crt "$work/builder/etc/ssl/certs/"
    mkdir -p "$work/builder/opt/rust"
    cp -a "$(cd /tmp && rustc --print sysroot)/." "$work/builder/opt/rust/"
    rm -rf "$work/builder/opt/rust/share/doc"
    commit "$work/builder" localhost/scalegate-builder \
        --env PATH=/opt/rust/bin:/usr/local/bin:/usr/bin:/bin --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
    rm -rf "$work/builder"
fi

if ! buildah inspect --type image localhost/scalegate-runtime >/dev/null 2>&1; then
    mkdir -p "$work/packages" "$work/runtime"/{etc,tmp,home/nonroot}
    # apt drops its rights to download, to an account that must be able to write here.
    chmod 755 "$work" && chmod 777 "$work/packages"
    (cd "$work/packages" && apt-get --quiet=2 download libc6 libgcc-s1 gcc-12-base tzdata >&2)
    for package in "$work"/packages/*.deb; do
        dpkg-deb --extract "$package" "$work/runtime"
    done
    rm -rf "$work"/runtime/usr/{bin,sbin,share/doc,share/lintian,lib/x86_64-linux-gnu/gconv} "$work/runtime/sbin"
    echo 'nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin' >"$work/runtime/etc/passwd"
    echo 'nonroot:x:65532:' >"$work/runtime/etc/group"
    chmod 1777 "$work/runtime/tmp"
    commit "$work/runtime" localhost/scalegate-runtime --user 65532:65532
fi

# Chroot: a machine like this may be a container itself, whose cgroups no runtime can use.
echo export BUILDER=localhost/scalegate-builder RUNTIME=localhost/scalegate-runtime "BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}"
