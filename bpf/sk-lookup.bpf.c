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

/* Whether ztunnel has said yes to this pair, of the mesh as it still is. The source is the pod whose socket
 * it is, and must use an address of its own: addresses have a say in policies, too. Whom it reaches is
 * certain of addresses in `guarded` only: others may be of two pods, in networks of their own. */
static __always_inline bool has_verdict(const struct mesh_config *node, const struct mesh_flow_key *key,
                                        __u32 source_pod_id) {
    __u32 *source = bpf_map_lookup_elem(&local_pods, &key->source_ip);
    __u32 *destination = bpf_map_lookup_elem(&guarded, &key->destination_ip);
    if (!source || *source != source_pod_id || !destination)
        return false;
    struct mesh_verdict_key pair = {
        .source_ip = key->source_ip,
        .destination_ip = key->destination_ip,
        .source_pod_id = source_pod_id,
        .destination_pod_id = *destination,
        .port = key->destination_port,
    };
    const struct mesh_verdict *verdict = bpf_map_lookup_elem(&verdicts, &pair);
    return verdict && verdict->generation == node->verdict_generation;
}

/* From a pod of this node, by its own socket's record. The kernel may ask again for the handshake's last
 * packet, and then the later answer counts. */
static __always_inline int by_verdict(struct bpf_sk_lookup *ctx, const struct mesh_config *node,
                                      const struct mesh_flow_key *key, struct mesh_flow *flow) {
    if (node->flags & MESH_CONFIG_KERNEL_PATH && has_verdict(node, key, flow->origin.pod_id)) {
        flow->stage = MESH_FLOW_ADMITTED;
        return pass(MESH_COUNTER_ADMITTED_KERNEL);
    }
    count(MESH_COUNTER_KERNEL_ASKED);
    int outcome = to_ztunnel(ctx, &key->destination_ip);
    flow->stage = outcome == SK_PASS ? MESH_FLOW_ASKED : MESH_FLOW_NEW;
    return outcome;
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

    __u32 zero = 0;
    const struct mesh_config *node = bpf_map_lookup_elem(&config, &zero);
    if (!node)
        return drop(MESH_COUNTER_DROPPED_UNKNOWN); /* never: an array has all its elements */
    struct mesh_flow *flow = bpf_map_lookup_elem(&flows, &key);
    enum mesh_origin_kind origin = flow ? flow->origin.kind : MESH_ORIGIN_NONE;
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
    if (flow && origin == MESH_ORIGIN_KERNEL)
        return by_verdict(ctx, node, &key, flow);
    /* Must not pass for plaintext: rules against its identity would not be asked. */
    if (origin == MESH_ORIGIN_NONE && bpf_map_lookup_elem(&strays, &key))
        return drop(MESH_COUNTER_DROPPED_UNRECORDED);
    return to_ztunnel(ctx, &key.destination_ip);
}
