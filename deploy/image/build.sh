#!/usr/bin/env bash
# build.sh [ARCHIVE]: builds the image into ARCHIVE, a file that `docker load` and `kind load image-archive` take, and
# prints the image's digest. `make image` calls it.
#
#   IMAGE=scalegate:dev        the name in the archive
#   VERSION                    the version in its labels; without it, Cargo.toml's
#   BUILDER, RUNTIME           other bases than the Dockerfile's
#   ENGINE=docker|buildah      what builds; without it, docker with buildx if it is there, else buildah
#   NO_CACHE=1                 compile everything
#   SOURCE=/src                where the sources lie during the build
#   SOURCE_DATE_EPOCH          the time that all files and the image have; without it, that of the last commit
set -euo pipefail
cd "$(dirname "$0")/../.."

archive=${1:-target/image/scalegate.tar}
image=${IMAGE:-scalegate:dev}
if [ -z "${ENGINE:-}" ]; then
    if docker buildx version >/dev/null 2>&1; then
        ENGINE=docker
    elif command -v buildah >/dev/null; then
        ENGINE=buildah
    else
        echo "building the image needs docker with buildx, or buildah" >&2
        exit 1
    fi
fi

epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
revision=$(git rev-parse HEAD)
if [ -n "$(git status --porcelain --untracked-files=no)" ]; then
    revision=$revision-dirty
fi
version=${VERSION:-$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)}
# GNU's date, then BSD's.
created=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ 2>/dev/null || date -u -r "$epoch" +%Y-%m-%dT%H:%M:%SZ)

options=(--file deploy/image/Dockerfile
    --build-arg "VERSION=$version" --build-arg "REVISION=$revision" --build-arg "CREATED=$created")
for name in BUILDER RUNTIME SOURCE; do
    if [ -n "${!name:-}" ]; then
        options+=(--build-arg "$name=${!name}")
    fi
done
if [ -n "${NO_CACHE:-}" ]; then
    options+=(--no-cache)
fi

mkdir -p "$(dirname "$archive")"
rm -f "$archive"
case $ENGINE in
docker)
    # Without these two, the image would hold the builder's own account of the build, which differs each time.
    SOURCE_DATE_EPOCH=$epoch docker buildx build "${options[@]}" --provenance=false --sbom=false \
        --tag "$image" --output "type=docker,dest=$archive,rewrite-timestamp=true" . >&2
    ;;
buildah)
    buildah bud --format docker --layers "${options[@]}" --tag "$image" . >&2
    # Given to the build, the time would make every layer of another commit anew; so it is given to the result, as one.
    # Docker's format would name the container that it came from, and the history its image: both differ each time.
    container=$(buildah from --pull-never "$image")
    buildah commit --quiet --format oci --omit-history --squash --rm --timestamp "$epoch" "$container" "$image" >&2
    buildah push --quiet "$image" "docker-archive:$archive:$image" >&2
    ;;
*)
    echo "ENGINE is $ENGINE: it takes docker or buildah" >&2
    exit 2
    ;;
esac
# The archive's manifest names the image's configuration by its digest, and so all that is in it.
tar -xOf "$archive" manifest.json | sed -E 's/.*"Config":"([0-9a-z/]+:?)?([0-9a-f]{64})(\.json)?".*/sha256:\2/'
echo
