// SPDX-License-Identifier: Apache-2.0
/*
 * sk_lookup, linked to every enrolled pod's network namespace: decides which listening socket a new
 * connection reaches. It does not run for packets of established connections. SK_DROP looks to the peer like
 * a closed port.
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "addr.h"
#include "counters.h"
#include "maps.h"

char _license[] SEC("license") = "Apache-2.0";

static __always_inline struct mesh_flow_key flow_key(struct bpf_sk_lookup *ctx) {
    struct mesh_flow_key key = {
        .source_port = bpf_ntohs(ctx->remote_port),
        .destination_port = ctx->local_port,
    };
    if (ctx->family == AF_INET6) {
        key.source_ip = addr_v6(ctx->remote_ip6);
        key.destination_ip = addr_v6(ctx->local_ip6);
        keep_branch();
    } else {
        key.source_ip = addr_v4(ctx->remote_ip4);
        key.destination_ip = addr_v4(ctx->local_ip4);
    }
    return key;
}

static __always_inline enum mesh_origin_kind origin_of(const struct mesh_flow_key *key) {
    const struct mesh_flow *flow = bpf_map_lookup_elem(&flows, key);
    return flow ? flow->origin.kind : MESH_ORIGIN_NONE;
}

static __always_inline int pass(enum mesh_counter why) {
    count(why);
    return SK_PASS;
}

static __always_inline int drop(enum mesh_counter why) {
    count(why);
    return SK_DROP;
}

/* To ztunnel's plaintext listener of the pod that has this address. The accepted socket's local address stays
 * what the peer dialled. Fails closed: whoever cannot be handed to ztunnel does not get to the application
 * either. */
static __always_inline int to_ztunnel(struct bpf_sk_lookup *ctx, const struct mesh_addr *local) {
    __u32 *pod_id = bpf_map_lookup_elem(&local_pods, local);
    if (!pod_id)
        return drop(MESH_COUNTER_DROPPED_UNKNOWN);
    struct bpf_sock *listener = bpf_map_lookup_elem(&listeners, pod_id);
    if (!listener)
        return drop(MESH_COUNTER_DROPPED_NO_LISTENER);
    long failed = bpf_sk_assign(ctx, listener, 0);
    bpf_sk_release(listener);
    return failed ? drop(MESH_COUNTER_DROPPED_NO_LISTENER) : pass(MESH_COUNTER_PLAINTEXT);
}

/* Admits to the application, hands to ztunnel, or drops. */
SEC("sk_lookup")
int mesh_sk_lookup(struct bpf_sk_lookup *ctx) {
    if (ctx->protocol != IPPROTO_TCP)
        return SK_PASS;

    struct mesh_flow_key key = flow_key(ctx);
    /* The kernel drops loopback addresses that come in from outside, so this is the pod talking to itself;
     * connect has refused the mesh's ports there. */
    if (addr_is_loopback(&key.destination_ip))
        return SK_PASS;
    /* ztunnel's own listener; TLS says who is allowed to use it. */
    if (key.destination_port == MESH_PORT_HBONE)
        return SK_PASS;

    enum mesh_origin_kind origin = origin_of(&key);
    if (key.destination_port == MESH_PORT_OUTBOUND && origin == MESH_ORIGIN_CAPTURED)
        return SK_PASS;
    if (key.destination_port == MESH_PORT_OUTBOUND || key.destination_port == MESH_PORT_PLAINTEXT)
        return drop(MESH_COUNTER_DROPPED_MESH_PORT);

    /* The pod dials its own address. From outside, IPv4 drops this as a martian; over IPv6 the answer would
     * go to the pod itself, which resets it. (ingress_ifindex is newer than 5.10, and not `lo` here.) */
    if (addr_equal(&key.source_ip, &key.destination_ip))
        return SK_PASS;
    if (origin == MESH_ORIGIN_HOST || origin == MESH_ORIGIN_ZTUNNEL)
        return pass(MESH_COUNTER_ADMITTED_ORIGIN);
    return to_ztunnel(ctx, &key.destination_ip);
}
