#!/bin/sh
# install-modules.sh: makes node_modules what package-lock.json says, for the Node that is pinned in it.
set -eu
cd "$(dirname "$0")/.."

npm ci --no-progress --loglevel=error
node=$(cd node_modules && ls -d node-linux-*)

# npm leaves out optional packages that do not support the Node it runs on, and Debian 12's is too old for native parts
# of the linter: run on the pinned Node, npm adds them.
[ "$(node --version)" = "$("node_modules/$node/bin/node" --version)" ] ||
    PATH="$PWD/node_modules/$node/bin:$PATH" npm install --no-save --prefer-offline --no-progress --loglevel=error

# npm 9 (Debian 12) does not link the programs of optional packages by itself.
[ -e node_modules/.bin/node ] || npm rebuild --silent "$node"
