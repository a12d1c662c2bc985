#!/usr/bin/env bash
# rung.sh NAME -- COMMAND...: runs one rung of a ladder quietly, prints its duration, and its output if it fails (or V=1).
set -uo pipefail
name=$1
shift 2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
start=$SECONDS
if [[ -n ${V:-} ]]; then "$@" 2>&1 | tee "$log"; else "$@" >"$log" 2>&1; fi
status=${PIPESTATUS[0]}
if [[ $status -eq 0 ]]; then
  printf '  %-10s ok    %4ds\n' "$name" $((SECONDS - start))
else
  [[ -n ${V:-} ]] || cat "$log"
  printf '  %-10s FAIL  %4ds\n' "$name" $((SECONDS - start))
fi
exit "$status"
