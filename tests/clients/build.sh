#!/usr/bin/env bash
# Compiles the clients of this directory and prints one line for each: its language, a tab, and its command, with tabs
# between the words. What it needs beyond the languages goes into the cache, the programs into DIRECTORY.
#
#   tests/clients/build.sh DIRECTORY
#
# A language that this machine does not have is left out, and said so on stderr; with SCALEGATE_CLIENTS=all that is an
# error. SCALEGATE_CACHE is where to keep what is downloaded (default: ~/.cache/scalegate).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
programs=$(cd "$1" && pwd)
cache=${SCALEGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/scalegate}

say() { printf 'clients: %s\n' "$*" >&2; }

# have LANGUAGE PROGRAM...: whether the machine has them all.
have() {
    local language=$1 program
    shift
    for program in "$@"; do
        if command -v "$program" >/dev/null; then continue; fi
        say "$language is skipped: there is no $program"
        if [ "${SCALEGATE_CLIENTS:-}" = all ]; then exit 1; fi
        return 1
    done
}

client() {
    local IFS=$'\t'
    printf '%s\n' "$*"
}

# The directory of the packages that client.py imports, named by what pins them and by the Python that they are for.
python_packages() {
    local directory made
    directory=$cache/clients-$( (python3 --version && cat "$here/requirements.txt") | git hash-object --stdin | cut -c1-12)
    if [ ! -d "$directory" ]; then
        mkdir -p "$cache"
        made=$(mktemp -d "$cache/clients-new.XXXXXX")
        python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --only-binary :all: \
            --require-hashes --requirement "$here/requirements.txt" --target "$made" >&2
        # Of two runs at once, the first to rename wins.
        if [ -d "$directory" ]; then rm -rf "$made"; else mv "$made" "$directory"; fi
    fi
    echo "$directory"
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
if have Python python3; then
    packages=$(python_packages)
    client Python env "PYTHONPATH=$packages" python3 "$here/client.py"
fi
