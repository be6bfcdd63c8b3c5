#!/usr/bin/env bash
# The whole gate: `npm run check`. CI runs nothing else. With --tested, after `npm test` has just passed, the tests are not run again.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; "$@"; }

step cargo fmt --check
step cargo fmt --check --manifest-path fuzz/Cargo.toml
step cargo fmt --check --manifest-path benchmark/mock/Cargo.toml
step cargo clippy --no-default-features --all-targets -- -D warnings
step cargo clippy --all-targets -- -D warnings
step cargo clippy --no-default-features --features loom --test loom --test loom_joining -- -D warnings
step cargo test --no-default-features --features loom --test loom --test loom_joining
step oxlint --deny-warnings
step prettier --check .
step node scripts/platforms.mjs --check

if [ "${1:-}" = --tested ]; then step npm run --silent build:dev; else step npm test; fi

# The typings that were just generated, as users with either way of resolving modules meet them.
step tsc --project tsconfig.json
step tsc --project __test__/tsconfig.json
step tsc --project __test__/types/tsconfig.nodenext.json
step tsc --project __test__/types/tsconfig.bundler.json

# What would be published, but for the addon, which is the one of development.
step bash scripts/pack-check.sh --debug --no-hosts

# From those tarballs, in empty projects: each Node, threads, processes, vitest and esbuild, for a minute. `npm run pack:check` runs more.
step bash scripts/hosts.sh --quick

# Half a minute, and a download where it is the first time.
step npm run --silent clients

# Servers that others wrote: two minutes, and some more for what is installed the first time.
step npm run --silent servers

# Half a minute with a browser; without one it says so.
step bash scripts/next.sh --check

# The fuzzers, for a moment each: what they found before, and a little beyond it.
if c++ --version >/dev/null 2>&1; then
  step scripts/fuzz.sh --check 10
else
  printf '\n== scripts/fuzz.sh: NOT RUN, the fuzzer is built by a C++ compiler, and there is none (c++). CI runs it.\n'
fi

if cargo deny --version >/dev/null 2>&1; then
  # Advisories change without us and need a download, so the workflow asks for them by itself.
  step cargo deny check bans licenses sources
else
  printf '\n== cargo deny check: NOT RUN, cargo-deny is not installed (cargo install --locked cargo-deny). CI runs it.\n'
fi

# What the build generates is committed; if this differs, commit what the build wrote.
step git diff --exit-code -- index.d.ts testing.d.ts fetch.d.ts binding.d.ts Cargo.lock fuzz/Cargo.lock
for file in index.d.ts testing.d.ts fetch.d.ts binding.d.ts Cargo.lock fuzz/Cargo.lock; do
  git ls-files --error-unmatch "$file" >/dev/null
done

printf '\nAll checks passed.\n'
