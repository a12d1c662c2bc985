/* SPDX-License-Identifier: Apache-2.0 */
/*
 * May a pod send there? Asked of TCP connections outside the mesh when they connect, and of UDP when it
 * connects and for each datagram with an address of its own. Nothing has left the pod yet; the application
 * sees a refusal as EPERM.
 */
#pragma once

#include <linux/in.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "addr.h"
#include "counters.h"
#include "maps.h"

/* Each refusal costs the agent a record and a line of log: a pod that tries the same again and again gets so
 * many. */
#define DENIALS_PER_WINDOW 16
#define DENIAL_WINDOW_NS 1000000000ull

/* UDP, also of the kind without a checksum over everything: the kernel asks about both in the same places. */
static __always_inline bool is_datagram(__u32 protocol) {
    return protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE;
}

/* The address is the pod's own. */
static __always_inline bool is_own(const struct mesh_pod *pod, const struct mesh_addr *dst) {
    __u32 *pod_id = bpf_map_lookup_elem(&local_pods, dst);
    return pod_id && *pod_id == pod->id;
}

static __always_inline bool egress_allows(const struct mesh_pod *pod, const struct mesh_addr *dst, __u16 port,
                                          __u8 protocol) {
    if (pod->egress_set == 0)
        return true; /* no object has a say about this pod */
    struct mesh_egress_key key = {.bits = MESH_EGRESS_KEY_BITS, .set = pod->egress_set, .base = *dst};
    const struct mesh_egress *entry = bpf_map_lookup_elem(&egress, &key);
    if (!entry)
        return false; /* fails closed: a set covers all addresses, or its entries did not fit */
    for (int i = 0; i < MESH_EGRESS_RANGES; i++) {
        const struct mesh_port_range *range = &entry->open[i];
        if (range->protocol == 0)
            return false;
        if (range->protocol == protocol && range->first <= port && port <= range->last)
            return true;
    }
    return false;
}

/* Counts it against the pod's share: true if it is to be told of, with what was left out before in `untold`.
 * Pods of several CPUs may get a few more. */
static __always_inline bool is_told(__u32 pod_id, __u64 now, __u32 *untold) {
    struct mesh_denial_rate *rate = bpf_map_lookup_elem(&denial_rates, &pod_id);
    if (!rate) {
        struct mesh_denial_rate first = {.window_start = now, .told = 1};
        bpf_map_update_elem(&denial_rates, &pod_id, &first, BPF_ANY);
        return true;
    }
    if (now - rate->window_start >= DENIAL_WINDOW_NS) {
        rate->window_start = now;
        rate->told = 0;
    }
    if (rate->told >= DENIALS_PER_WINDOW) {
        rate->untold += 1;
        return false;
    }
    rate->told += 1;
    *untold = rate->untold;
    rate->untold = 0;
    return true;
}

/* Not inline, so that the type of the record is in the object's BTF. */
static __noinline long tell(const struct mesh_denial *denial) {
    return bpf_ringbuf_output(&denials, (void *)denial, sizeof(*denial), 0);
}

static __always_inline void denied(const struct mesh_pod *pod, const struct mesh_addr *dst, __u16 port,
                                   __u8 protocol) {
    struct mesh_denial denial = {
        .at = bpf_ktime_get_ns(), .ip = *dst, .pod_id = pod->id, .port = port, .protocol = protocol};
    count(MESH_COUNTER_DENIED_EGRESS);
    if (!is_told(pod->id, denial.at, &denial.untold) || tell(&denial) != 0)
        count(MESH_COUNTER_DENIALS_UNTOLD);
}

/* Resolvers connect datagram sockets to all addresses of a name to put them in order, and send nothing. Where
 * TCP, which was probably meant, is let through, that is nobody's news. */
static __always_inline bool is_resolver(const struct mesh_pod *pod, const struct mesh_addr *dst, __u16 port) {
    return bpf_map_lookup_elem(&destinations, dst) || egress_allows(pod, dst, port, IPPROTO_TCP);
}

/* Whether this process may send this datagram, or connect a UDP socket to where it is to go. The mesh carries
 * no UDP, so this is asked of destinations inside the mesh, too. */
static __always_inline bool datagram_allowed(struct bpf_sock_addr *ctx, bool is_ztunnel,
                                             const struct mesh_addr *dst, bool connecting) {
    if (is_ztunnel)
        return true; /* the mesh itself */
    __u64 netns = bpf_get_netns_cookie(ctx);
    const struct mesh_pod *pod = bpf_map_lookup_elem(&pods, &netns);
    if (!pod)
        return true; /* the node, or a pod that is not enrolled: none of our business */
    if (addr_is_loopback(dst) || is_own(pod, dst))
        return true; /* does not leave the pod */
    __u16 port = bpf_ntohs(ctx->user_port);
    if (egress_allows(pod, dst, port, IPPROTO_UDP))
        return true;
    if (connecting && is_resolver(pod, dst, port))
        count(MESH_COUNTER_DENIED_CONNECTING);
    else
        denied(pod, dst, port, IPPROTO_UDP);
    return false;
}

static __always_inline bool is_mesh_process(const struct mesh_config *node) {
    __u64 cgroup = bpf_get_current_cgroup_id();
    return cgroup == node->ztunnel_cgroup_id || cgroup == node->drained_cgroup_id;
}
