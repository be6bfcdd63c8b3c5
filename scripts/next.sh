#!/usr/bin/env bash
# The Next.js example in a browser: `npm run next`, after a build. Writes docs/next.png, but not with --check.
set -euo pipefail
cd "$(dirname "$0")/.."

skip() {
  printf '\n== next: NOT RUN, %s\n' "$1"
  exit 0
}

[ -x "${CHROMIUM:-/usr/bin/chromium}" ] || skip 'there is no browser (apt-get install chromium, or CHROMIUM=path)'

# Packages of a folder of their own, as those of the clients.
npm ci --prefix examples/next --loglevel=error --fetch-retries=1 --fetch-timeout=30000 ||
  skip 'its packages could not be installed (npm ci --prefix examples/next)'

export NEXT_TELEMETRY_DISABLED=1
npm run --silent --prefix examples/next build
[ "${1:-}" = --check ] && set -- || set -- docs/next.png
node examples/next/check.mjs "$@"
