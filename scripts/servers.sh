#!/usr/bin/env bash
# thryd before servers that others wrote, on a model that the tests make: `npm run servers`, after a build.
# UPDATE_TABLE=1 writes docs/servers.md. Environments of Python are kept in servers/.venv, one per server.
set -euo pipefail
cd "$(dirname "$0")/.."

not_run() { printf '\n== servers: %s NOT RUN, %s\n' "$1" "$2"; }

# The environment of one server, in so many seconds at most, made anew when its requirements have changed.
install() {
  local name=$1 seconds=$2 venv=servers/.venv/$1 requirements=servers/requirements/$1.txt temporary=$PWD/servers/.venv/tmp
  cmp -s "$requirements" "$venv/installed.txt" && return
  rm -rf "$venv" "$temporary" && mkdir -p "$temporary"
  local flags=(--quiet --no-input --disable-pip-version-check --requirement "$requirements")
  [ "$name" = llama-cpp-python ] || flags+=(--only-binary :all:)
  # Who is out of time leaves behind what was to be compiled: in a place of its own.
  TMPDIR=$temporary timeout "$seconds" \
    bash -c 'python3 -m venv "$0" && "$0/bin/python" -m pip install "$@"' "$venv" "${flags[@]}" &&
    cp "$requirements" "$venv/installed.txt"
}

if ! python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  not_run 'all of them' 'Python 3.11 or newer with venv and pip was not found (python3). CI runs them.'
  exit 0
fi
if ! npm install --prefix servers --no-save --loglevel=error --fetch-retries=1 --fetch-timeout=30000; then
  not_run 'all of them' 'the client before them could not be installed (npm install --prefix servers). CI runs them.'
  exit 0
fi

# Only what its server needs, for any processor of the kind, and not optimised: the model is tiny, compiling is not.
export CMAKE_ARGS='-DGGML_NATIVE=OFF -DGGML_OPENMP=OFF -DLLAVA_BUILD=OFF -DLLAMA_OPENSSL=OFF'
CMAKE_ARGS+=' -DCMAKE_C_FLAGS_RELEASE=-O0 -DCMAKE_CXX_FLAGS_RELEASE=-O0'
export CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(getconf _NPROCESSORS_ONLN)}

SERVERS=
try() {
  local name=$1 seconds=$2 begun=$SECONDS
  if install "$name" "$seconds"; then
    SERVERS+="$name "
    printf '== servers: %s is installed, after %s s\n' "$name" $((SECONDS - begun))
  else
    not_run "$name" "it could not be installed, or not in $seconds s (servers/requirements/$name.txt). CI runs it."
    return 1
  fi
}

# It makes the model, and stands behind the others.
try llama 120 || exit 0
try litellm 300 || true
try llama-cpp-python "${SERVERS_COMPILE_SECONDS:-600}" || true

tsc --project servers/tsconfig.json
SERVERS=$SERVERS vitest run --config servers/vitest.config.mts
