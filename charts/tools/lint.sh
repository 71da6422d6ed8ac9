#!/usr/bin/env bash
# Checks scripts, YAML, Dockerfiles and workflows: everything of these kinds that git tracks. The chart has charts/test.sh.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=$("$here/install.sh")
cd "$here/../.."

# check TOOL [OPTION...] -- [FILE...]: runs the tool on the files, if there are any and it was not skipped.
check() {
  local tool=$1 options=()
  shift
  while [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  shift
  if [ $# -eq 0 ]; then return; fi
  if [ ! -x "$tools/$tool" ]; then
    echo "lint: skipped, without $tool: $*" >&2
    return
  fi
  echo "lint: $tool" >&2
  "$tools/$tool" ${options[@]+"${options[@]}"} "$@"
}

# The tracked files of some patterns, one a line; git knows them by their paths, which hold no blanks.
tracked() { git ls-files -- "$@"; }

# shellcheck disable=SC2046 # one word each
{
  check shellcheck -x -- .ci/run $(tracked '*.sh')
  check yamllint --strict -- $(tracked '*.yaml' '*.yml')
  check hadolint -- $(tracked '*Dockerfile' '*.Dockerfile')
  check actionlint -shellcheck "$tools/shellcheck" -- $(tracked '.github/workflows/*.yml' '.github/workflows/*.yaml')
}

# shellcheck disable=SC2046 # one word each
if command -v gofmt >/dev/null; then
  echo "lint: gofmt" >&2
  unformatted=$(gofmt -l $(tracked '*.go'))
  if [ -n "$unformatted" ]; then
    printf 'lint: gofmt would change:\n%s\n' "$unformatted" >&2
    exit 1
  fi
fi
