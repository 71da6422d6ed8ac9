# shellcheck shell=bash disable=SC2154 # policies/build.sh sets opa, here and work
# The checks of the policy sources; policies/build.sh reads this file and calls run_tests.

run_tests() {
  say "formatting"
  "$opa" fmt --list --fail "$here/rego" "$here/guide" || die "not formatted (run: make fmt)"
  say "strict check"
  "$opa" check --strict "$here"/rego/*.rego
  # Each of the guide is a policy by itself.
  local guide
  for guide in "$here"/guide/*.rego; do "$opa" check --strict "$guide"; done
  say "tests"
  "$opa" test -v "$here"/rego/*.rego
  say "examples, interpreted and compiled"
  check_examples
}

# Each examples/NAME.input.json has its verdict beside it, under NAME.settings.json if that is there, else settings.json.
# The interpreter and the WebAssembly that it compiles to must both give it.
check_examples() {
  local input name target failed=0 count=0
  "$opa" eval --format pretty --data "$here/dev/normal.yaml" 'data.modules[0].settings' >"$work/dev.json"
  "$opa" eval --format pretty --data "$here/rego/examples/settings.json" data.settings >"$work/settings.json"
  diff -u "$work/dev.json" "$work/settings.json" >&2 || die "rego/examples/settings.json and dev/normal.yaml differ"
  for input in "$here"/rego/examples/*.input.json; do
    name=$(basename "$input" .input.json)
    for target in rego wasm; do
      decide "$name" "$target" >"$work/verdict.json"
      if ! diff -u "$here/rego/examples/$name.verdict.json" "$work/verdict.json" >&2; then
        say "example $name: the verdict by target $target is another one (if it should be: policies/build.sh --write-verdicts)"
        failed=1
      fi
    done
    count=$((count + 1))
  done
  [ "$failed" -eq 0 ] || exit 1
  say "$count examples agree"
}

write_verdicts() {
  local input name
  for input in "$here"/rego/examples/*.input.json; do
    name=$(basename "$input" .input.json)
    decide "$name" rego >"$work/verdict.json"
    install_file "$work/verdict.json" "$here/rego/examples/$name.verdict.json"
  done
}

decide() {
  local examples="$here/rego/examples" settings
  settings="$examples/$1.settings.json"
  [ -f "$settings" ] || settings="$examples/settings.json"
  # shellcheck disable=SC2046 # as in build_module
  (cd "$here/rego" && "$opa" eval --target "$2" --format pretty $(modules | sed 's/^/--data /') \
    --data "$settings" --input "$examples/$1.input.json" data.scalegate.verdict)
}
