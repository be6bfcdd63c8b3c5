#!/usr/bin/env bash
# thryd/fetch behind the clients that users have: `npm run clients`, after a build. UPDATE_TABLE=1 writes docs/clients.md.
set -euo pipefail
cd "$(dirname "$0")/.."

# Packages of a folder of their own: they are no concern of who works on the rest, and a host without a registry has none.
if ! npm install --prefix clients --no-save --loglevel=error --fetch-retries=1 --fetch-timeout=30000; then
  printf '\n== clients: NOT RUN, their packages could not be installed (npm install --prefix clients). CI runs them.\n'
  exit 0
fi

# Its examples import the package by its name, as users do.
ln -sfn ../.. clients/node_modules/thryd

tsc --project clients/tsconfig.json
vitest run --config clients/vitest.config.mts
