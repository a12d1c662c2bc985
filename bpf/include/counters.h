/* SPDX-License-Identifier: Apache-2.0 */
/* Counting, the only trace a program leaves of what it decided. */
#pragma once

#include "maps.h"

static __always_inline void count_many(enum mesh_counter which, __u64 many) {
    __u32 index = which;
    __u64 *counter = bpf_map_lookup_elem(&counters, &index);
    if (counter)
        *counter += many; /* this CPU's own */
}

static __always_inline void count(enum mesh_counter which) {
    count_many(which, 1);
}
