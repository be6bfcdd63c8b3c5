#!/usr/bin/env bash
# Fuzzes what reads bytes that others wrote: `scripts/fuzz.sh [target] [seconds]`, by default every target for a minute.
#
# Needs a stable Rust and a C++ compiler; cargo-fuzz works as well, and finds the same targets and corpora. An input that
# fails is kept in fuzz/artifacts/<target>/ and named with the command that runs it again. Inputs that are new are added to
# fuzz/corpus/<target>/; `scripts/fuzz.sh --minimise [target]` keeps the fewest that reach as much.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"

action=run
if [ "${1:-}" = --minimise ]; then action=minimise && shift; fi
if [ "${1:-}" = --check ]; then action=check && shift; fi
targets=(key record)
if [ -n "${1:-}" ] && [ "$1" != all ]; then targets=("$1"); fi
seconds=${2:-60}

# What cargo-fuzz passes, without the sanitizers, which need a nightly compiler: thryd has no unsafe code of its own.
coverage=(
  -Cpasses=sancov-module
  -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
  -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares
)
host=$(rustc -vV | sed -n 's/^host: //p')
# With a target named, the flags reach no build script and no macro.
RUSTFLAGS="--cfg fuzzing ${coverage[*]}" cargo build --locked --release --target "$host" --target-dir target

for target in "${targets[@]}"; do
  program=target/$host/release/$target
  corpus=corpus/$target
  artifacts=artifacts/$target/
  mkdir -p "$corpus" "$artifacts"
  limits=(-timeout=10 -rss_limit_mb=1024 -max_len=4096 "-artifact_prefix=$artifacts")
  case $action in
    run) "$program" "${limits[@]}" "-max_total_time=$seconds" -print_final_stats=1 "$corpus" ;;
    # What is found goes to a directory that git ignores.
    check)
      mkdir -p "target/found/$target"
      "$program" "${limits[@]}" "-max_total_time=$seconds" -verbosity=0 "target/found/$target" "$corpus"
      ;;
    minimise)
      rm -rf "target/minimised/$target"
      mkdir -p "target/minimised/$target"
      "$program" "${limits[@]}" -merge=1 "target/minimised/$target" "$corpus"
      rm -rf "$corpus"
      mv "target/minimised/$target" "$corpus"
      ;;
  esac
done
