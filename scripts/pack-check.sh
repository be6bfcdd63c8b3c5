#!/usr/bin/env bash
# What is published, packed and looked at: `npm run pack:check`, after a build. `-- <folder>` takes the addons from a folder, such as
# the binaries/ that `npm run build:linux` writes; --debug does with the addon of `npm run build:dev`; --complete wants all platforms;
# --no-hosts stops before the hosts are asked, which takes minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=.
hosts=1
flags=()
for argument in "$@"; do
  case $argument in
    --no-hosts) hosts= ;;
    --*) flags+=("$argument") ;;
    *) folder=$argument ;;
  esac
done

# The addon of development is several times as large, and nobody's download.
tight=--tight
case " ${flags[*]-} " in *' --debug '*) tight= ;; esac
node scripts/pack.mjs "$folder" $tight
node scripts/tarballs.mjs "${flags[@]}"

# What npm and TypeScript make of the package: its fields, and its typings under each way of resolving modules.
root=$(node --print "JSON.parse(fs.readFileSync('pack/index.json')).find(({ platform }) => !platform).file")
publint --strict "pack/$root"
attw "pack/$root"

# Those who use it.
if [ -n "$hosts" ]; then bash scripts/hosts.sh; fi
