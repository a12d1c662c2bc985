/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many records of `flows` each pod has on the kernel path, so that none takes the room of all others.
 * sockops counts what it writes and removes; what the agent removes it counts itself, in `settled`. All of
 * them wrap around.
 */
#pragma once

#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include "maps.h"

/* False too for a pod that has no share (yet, or any more). */
static __always_inline bool has_share(__u32 pod_id) {
    return bpf_map_lookup_elem(&shares, &pod_id) != NULL;
}

/* CPUs that connect at the same moment may get one more each. */
static __always_inline bool share_is_used_up(const struct mesh_config *node, __u32 pod_id) {
    const struct mesh_share *share = bpf_map_lookup_elem(&shares, &pod_id);
    __u32 *removed = bpf_map_lookup_elem(&settled, &pod_id);
    if (!share || !removed)
        return true;
    /* Less than none for a moment, when what was removed is counted before it is counted in. */
    return (__s32)(share->published - share->withdrawn - *removed) >= (__s32)node->flow_share;
}

static __always_inline void share_takes(__u32 pod_id) {
    struct mesh_share *share = bpf_map_lookup_elem(&shares, &pod_id);
    if (share)
        __sync_fetch_and_add(&share->published, 1);
}

static __always_inline void share_gives_back(__u32 pod_id) {
    struct mesh_share *share = bpf_map_lookup_elem(&shares, &pod_id);
    if (share)
        __sync_fetch_and_add(&share->withdrawn, 1);
}
