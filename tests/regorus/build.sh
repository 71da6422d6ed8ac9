#!/usr/bin/env bash
# Builds the program into target/regorus of the repository, and prints its path.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target="$here/../../target/regorus"
"${CARGO:-cargo}" build --quiet --locked --release --manifest-path "$here/Cargo.toml" --target-dir "$target" >&2
echo "$target/release/regorus-decides"
