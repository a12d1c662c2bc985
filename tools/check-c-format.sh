#!/usr/bin/env bash
# Fails, with the differences, when a C or C++ source is not in the format of .clang-format.
set -euo pipefail
git ls-files -z 'bpf/*.c' 'bpf/*.h' 'native/*.c' 'native/*.cc' 'native/*.h' 'test/*.c' | xargs -0 -r clang-format-16 --dry-run --Werror
