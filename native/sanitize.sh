#!/bin/sh
# Builds the addon (build/Debug) and the keeper with the address and undefined-behaviour sanitizers and runs the native
# tests on them.
# Fails when a test fails, when a sanitizer stops the process, or when memory that the addon allocated was never freed.
# Needs root and a finished `make modules`; arguments go to jest.
set -eu

cd "$(dirname "$0")/.."
native/build.sh --debug
make -s -C native/keeper SANITIZE=1 OUT="$PWD/build/keeper-debug"
reports=$(mktemp -d)
trap 'rm -rf "$reports"' EXIT
mkdir "$reports/found"
# Promises that are not settled when their worker thread is terminated: Node-API has no way to free them (8 bytes each).
echo leak:napi_create_promise >"$reports/suppressions"

# Node was built without the sanitizers, so their runtime has to be there before anything else. Node frees little when
# it ends: leaks are collected without failing the process, and only those that the addon allocated count.
status=0
MESH_EBPF_TEST_ADDON=$PWD/native/build/Debug/mesh_ebpf.node \
    MESH_EBPF_TEST_KEEPER=$PWD/build/keeper-debug/mesh-ebpf-keeper \
    LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libstdc++.so.6)" \
    ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:log_path="$reports/found/report" \
    LSAN_OPTIONS=exitcode=0:print_suppressions=0:suppressions="$reports/suppressions" \
    UBSAN_OPTIONS=print_stacktrace=1:log_path="$reports/found/report" \
    npm run -s jest -- --selectProjects native --runInBand "$@" || status=$?

# The last two: a sanitizer that could not do its work, which ends the process in silence and, as leaks do, with status 0.
faults='mesh_ebpf\.node|ERROR: AddressSanitizer|runtime error:|CHECK failed|encountered a fatal error'
guilty=$(grep -lE "$faults" "$reports"/found/* || true)
for report in $guilty; do
    cat "$report" >&2
    status=1
done
exit "$status"
