/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many records of `flows` each pod has on the kernel path, and how many there are, so that no pods take
 * the room of all others. sockops counts what it writes and removes; what the agent removes it counts itself,
 * in `settled`. All of them wrap around.
 */
#pragma once

#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include "maps.h"

/* False too for a pod that has no share (yet, or any more). */
static __always_inline bool has_share(__u32 pod_id) {
    return bpf_map_lookup_elem(&shares, &pod_id) != NULL;
}

/* Less than none for a moment, when what was removed is counted before it is counted in: then none. False if
 * nobody counts. */
static __always_inline bool held(__u32 id, __u32 *count) {
    const struct mesh_share *share = bpf_map_lookup_elem(&shares, &id);
    const __u32 *removed = bpf_map_lookup_elem(&settled, &id);
    if (!share || !removed)
        return false;
    __s32 left = share->published - share->withdrawn - *removed;
    *count = left < 0 ? 0 : left;
    return true;
}

/* Beyond the least that each has, a pod may have the same part of the common room that is free as
 * `flow_share` is of what is left beside it: alone it gets `flow_share`, and the more there are, the less.
 * CPUs that connect at the same moment may get one more each. */
static __always_inline bool share_is_used_up(const struct mesh_config *node, __u32 pod_id) {
    __u32 own, all;
    if (!held(pod_id, &own) || !held(MESH_SHARE_NODE, &all) || own >= node->flow_share)
        return true;
    if (own < node->flow_least)
        return false;
    __u64 rest = node->flow_share < node->flow_common ? node->flow_common - node->flow_share : 0;
    __u64 free = all < node->flow_common ? node->flow_common - all : 0;
    return own * rest >= node->flow_share * free;
}

static __always_inline void one_came(__u32 id) {
    struct mesh_share *share = bpf_map_lookup_elem(&shares, &id);
    if (share)
        __sync_fetch_and_add(&share->published, 1);
}

static __always_inline void one_went(__u32 id) {
    struct mesh_share *share = bpf_map_lookup_elem(&shares, &id);
    if (share)
        __sync_fetch_and_add(&share->withdrawn, 1);
}

/* Not of captured ones, which ztunnel takes out as it accepts them. */
static __always_inline void share_takes(__u8 kind, __u32 pod_id) {
    if (kind == MESH_ORIGIN_CAPTURED)
        return;
    one_came(MESH_SHARE_NODE);
    if (kind == MESH_ORIGIN_KERNEL)
        one_came(pod_id);
}

static __always_inline void share_gives_back(__u8 kind, __u32 pod_id) {
    if (kind == MESH_ORIGIN_CAPTURED)
        return;
    one_went(MESH_SHARE_NODE);
    if (kind == MESH_ORIGIN_KERNEL)
        one_went(pod_id);
}
