#!/usr/bin/env bash
# Fuzzes what reads bytes that others wrote.
#
#   scripts/fuzz.sh [target] [seconds]           every target, or one, for a minute or so long; what it finds joins fuzz/corpus/
#   scripts/fuzz.sh --check [target] [seconds]   the same, but no corpus changes
#   scripts/fuzz.sh --minimise [target]          of the corpus, the fewest inputs that reach as much
#
# Needs a stable Rust and a C++ compiler. cargo-fuzz finds the same targets and corpora. An input that fails is kept in
# fuzz/artifacts/, and `fuzz/target/<host>/release/<target> <input>` runs it again.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"

all=(answer key record sse tokens)
action=run
case ${1:-} in
  --check | --minimise) action=${1#--} && shift ;;
esac
targets=("${all[@]}")
if [[ ${1:-} =~ ^[a-z] ]]; then targets=("$1") && shift; fi
seconds=${1:-60}

# What cargo-fuzz passes, but for the sanitizers, which need a nightly compiler: thryd has no unsafe code of its own.
flags=(
  --cfg fuzzing
  -Cpasses=sancov-module
  -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
  -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares
)
host=$(rustc -vV | sed -n 's/^host: //p')
# Where a target is named, the flags reach no build script and no macro.
RUSTFLAGS="${flags[*]}" cargo build --quiet --release --target "$host" --target-dir target

for target in "${targets[@]}"; do
  corpus=corpus/$target
  found=target/found/$target
  mkdir -p "$corpus" "$found" "artifacts/$target"
  fuzz=("target/$host/release/$target" -timeout=10 -rss_limit_mb=1024 -max_len=4096 "-artifact_prefix=artifacts/$target/")
  printf '%s: %s\n' "$action" "$target"
  case $action in
    run) "${fuzz[@]}" "-max_total_time=$seconds" -print_final_stats=1 "$corpus" "seeds/$target" ;;
    check)
      if ! said=$("${fuzz[@]}" "-max_total_time=$seconds" "$found" "$corpus" "seeds/$target" 2>&1); then
        printf '%s\n' "$said"
        exit 1
      fi
      tail -n 1 <<<"$said"
      ;;
    minimise)
      rm -rf "$found" && mkdir "$found"
      # Places that are reached, not how often.
      "${fuzz[@]}" -merge=1 -use_counters=0 -verbosity=0 "$found" "seeds/$target" "$corpus"
      rm -rf "$corpus" && mv "$found" "$corpus"
      ;;
  esac
done
