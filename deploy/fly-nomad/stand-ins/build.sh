#!/usr/bin/env bash
# build.sh: makes images that take the places of the Dockerfile's where no container registry can be reached, and prints
# the build arguments that name them. Nomad and Filebeat are compiled from their Go modules, Elasticsearch is put together
# from its jars in Maven Central, the runtime is debootstrap's, and Kibana, which is in none of these places, is a stub.
#
# It needs Debian, root, Go 1.26, Node 20 and Java 17, and installs the rest where it is missing.
# The first run takes about ten minutes on two cores; what it compiles is kept in ~/.cache/scalegate/fly-nomad.
set -euo pipefail
shopt -s inherit_errexit
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${SCALEGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/scalegate}/fly-nomad

say() { echo "stand-ins: $*" >&2; }

# need PROGRAM PACKAGE
need() {
    if ! command -v "$1" >/dev/null; then
        say "installing $2"
        DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --no-install-recommends --yes "$2" >&2
    fi
}

key() { (cd "$here" && cat "$@") | sha256sum | cut -c 1-12; }

# image NAME FILE...: makes an image of what the function of that name puts into a directory, unless it is there; the files
# are what it makes it from.
image() {
    local container name root=$work/$1 make=$1
    shift
    name=localhost/scalegate-fly-nomad-$make:$(key build.sh "$@")
    if ! buildah inspect --type image "$name" >/dev/null 2>&1; then
        say "making $name"
        mkdir "$root"
        "$make" "$root" >&2
        container=$(buildah from scratch)
        buildah add --quiet "$container" "$root" / >&2
        buildah commit --quiet --format docker --rm "$container" "$name" >&2
        rm -rf "$root"
    fi
    echo "$name"
}

# compiled NAME PACKAGE: the path of a Go program, compiled once.
compiled() {
    local made program
    program=$cache/$1-$(key "$1/go.mod" "$1/go.sum")
    if [ ! -x "$program" ]; then
        say "compiling $1"
        made=$(mktemp "$work/$1.XXXXXX")
        (cd "$here/$1" && CGO_ENABLED=0 GOFLAGS=-buildvcs=false nice -n 15 go build -trimpath -ldflags "-s -w" -o "$made" "$2")
        mkdir -p "$cache"
        mv "$made" "$program"
    fi
    echo "$program"
}

nomad() { install -D "$(compiled nomad github.com/hashicorp/nomad)" "$1/bin/nomad"; }

filebeat() { install -D "$(compiled filebeat github.com/elastic/beats/v7/filebeat)" "$1/usr/share/filebeat/filebeat"; }

kibana() {
    local home=$1/usr/share/kibana
    install -D "$(node -p process.execPath)" "$home/node/bin/node"
    install -D --mode 644 "$here/kibana.js" "$home/kibana.js"
    install -D /dev/stdin "$home/bin/kibana" <<'KIBANA'
#!/bin/sh
exec /usr/share/kibana/node/bin/node /usr/share/kibana/kibana.js
KIBANA
    mkdir "$home/config"
}

# A node of Elasticsearch's core, with one module beside its transport: what stands in for x-pack.
elasticsearch() {
    local home=$1/usr/share/elasticsearch jar module version
    version=$(sed -n '/<version>8/ { s/.*<version>\(.*\)<.*/\1/p; q }' "$here/elasticsearch/pom.xml")
    mvn --quiet --batch-mode --file "$here/elasticsearch/pom.xml" dependency:copy-dependencies \
        -DoutputDirectory="$work/jars"
    mkdir -p "$home"/{bin,config,lib,logs,plugins} "$home"/modules/{transport-netty4,stand-in} "$work/classes"
    # What the node does not know itself belongs to its transport.
    for jar in "$work"/jars/*; do
        case ${jar##*/} in
        netty-* | transport-netty4-* | elasticsearch-ssl-config-*) mv "$jar" "$home/modules/transport-netty4/" ;;
        *) mv "$jar" "$home/lib/" ;;
        esac
    done
    javac -d "$work/classes" -cp "$home/lib/*" "$here"/elasticsearch/*.java
    cd "$work/classes"
    jar --create --file "$home/modules/stand-in/stand-in.jar" org/elasticsearch/xpack/standin/Security*.class
    jar --create --file "$home/lib/stand-in.jar" org/elasticsearch/xpack/standin/Server.class
    cd - >/dev/null
    for module in transport-netty4:org.elasticsearch.transport.netty4.Netty4Plugin \
        stand-in:org.elasticsearch.xpack.standin.Security; do
        printf '%s\n' "name=${module%:*}" "description=${module%:*}" "version=$version" \
            "elasticsearch.version=$version" java.version=17 "classname=${module#*:}" \
            >"$home/modules/${module%:*}/plugin-descriptor.properties"
    done
    jlink --add-modules ALL-MODULE-PATH --strip-debug --no-header-files --no-man-pages --output "$home/jdk"
    install "$here/elasticsearch/elasticsearch.sh" "$home/bin/elasticsearch"
    install "$here/elasticsearch/keystore.sh" "$home/bin/elasticsearch-keystore"
    install --mode 644 "$here/elasticsearch/log4j2.properties" "$home/config/"
}

runtime() {
    local mirror
    # shellcheck disable=SC2016  # apt's own variables
    mirror=$(apt-get indextargets --format '$(SITE) $(CODENAME)' 'Created-By: Packages' |
        awk '$2 == "bookworm" && !found++ { print $1 }')
    debootstrap --variant=minbase bookworm "$1" "$mirror" | sed '/^I: /d'
    rm -rf "$1"/var/cache/apt/archives/*.deb "$1"/var/lib/apt/lists/*
}

[ "$(id -u)" = 0 ] || { say "debootstrap and buildah need root"; exit 1; }
for program in apt-get go node; do
    command -v "$program" >/dev/null || { say "$program is missing"; exit 1; }
done
need buildah buildah
need curl curl
need debootstrap debootstrap
need ip iproute2
need jlink openjdk-17-jdk-headless
need mvn maven
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cd "$here"
nomad=$(image nomad nomad/go.mod nomad/go.sum)
filebeat=$(image filebeat filebeat/go.mod filebeat/go.sum)
elasticsearch=$(image elasticsearch elasticsearch/*)
kibana=$(image kibana kibana.js)
runtime=$(image runtime)
printf -- '--build-arg=%s\n' "NOMAD=$nomad" "FILEBEAT=$filebeat" "ELASTICSEARCH=$elasticsearch" "KIBANA=$kibana" "RUNTIME=$runtime"
