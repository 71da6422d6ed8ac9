#!/usr/bin/env bash
# Compiles the clients of this directory and prints one line for each: its language, a tab, and its command, with tabs
# between the words. What it needs beyond the languages goes into the cache, the programs into DIRECTORY.
#
#   tests/clients/build.sh DIRECTORY
#
# A language that this machine does not have is skipped, with a note on stderr; with SCALEGATE_CLIENTS=all that is an
# error. SCALEGATE_CACHE is where to keep what is downloaded (default: ~/.cache/scalegate).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
programs=$(cd "$1" && pwd)
cache=${SCALEGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/scalegate}

say() { printf 'clients: %s\n' "$*" >&2; }

# skip LANGUAGE REASON
skip() {
    say "$1 is skipped: $2"
    if [ "${SCALEGATE_CLIENTS:-}" = all ]; then exit 1; fi
}

# have LANGUAGE PROGRAM...: whether the machine has them all.
have() {
    local language=$1 program
    shift
    for program in "$@"; do
        if command -v "$program" >/dev/null; then continue; fi
        skip "$language" "there is no $program"
        return 1
    done
}

client() {
    local IFS=$'\t'
    printf '%s\n' "$*"
}

# Sets `packages` to the directory of what client.py imports, named by what pins it and by the Python that it is for.
install_packages() {
    local made key
    key=$( (python3 --version && cat "$here/requirements.txt") | git hash-object --stdin | cut -c1-12)
    packages=$cache/clients-$key
    if [ -d "$packages" ]; then return; fi
    mkdir -p "$cache"
    made=$(mktemp -d "$cache/clients-new.XXXXXX")
    if ! python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --only-binary :all: \
        --require-hashes --requirement "$here/requirements.txt" --target "$made" >&2; then
        rm -rf "$made"
        skip Python "pip cannot install httpx"
        return 1
    fi
    # Of two runs at once, the first to rename wins.
    if [ -d "$packages" ]; then rm -rf "$made"; else mv "$made" "$packages"; fi
}

if have curl curl; then client curl curl; fi
if have Go go; then
    CGO_ENABLED=0 go build -C "$here/go" -o "$programs/go-client" .
    client Go "$programs/go-client"
fi
if have Java javac java; then
    javac -d "$programs" "$here/Client.java"
    client Java java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$programs" Client
fi
if have Node node; then client Node node "$here/client.mjs"; fi
if have Python python3 && install_packages; then
    client Python env "PYTHONPATH=$packages" python3 "$here/client.py"
fi
