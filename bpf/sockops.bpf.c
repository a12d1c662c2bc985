// SPDX-License-Identifier: Apache-2.0
/*
 * sock_ops: publishes what connect noted in a socket under the connection's tuple, which is known just before
 * the SYN leaves, and takes it back when the socket closes. The accepting side (sk_lookup, the agent) knows a
 * connection by its tuple only.
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "addr.h"
#include "counters.h"
#include "maps.h"
#include "share.h"

char _license[] SEC("license") = "Apache-2.0";

/* The kernel ignores the value for the operations handled here. */
#define DONE 1

/* IPv4 connections of IPv6 sockets have their addresses mapped already. */
static __always_inline struct mesh_flow_key flow_key(struct bpf_sock_ops *ctx) {
    struct mesh_flow_key key = {
        .source_port = ctx->local_port,
        .destination_port = bpf_ntohl(ctx->remote_port),
    };
    if (ctx->family == AF_INET6) {
        key.source_ip = addr_v6(ctx->local_ip6);
        key.destination_ip = addr_v6(ctx->remote_ip6);
        keep_branch();
    } else {
        key.source_ip = addr_v4(ctx->local_ip4);
        key.destination_ip = addr_v4(ctx->remote_ip4);
    }
    return key;
}

static __always_inline void remove_flow(const struct mesh_flow_key *key, const struct mesh_flow *flow) {
    bool is_shared = flow->origin.kind == MESH_ORIGIN_KERNEL;
    __u32 pod_id = flow->origin.pod_id;
    /* The agent removes some, too: who did it counts it. */
    if (bpf_map_delete_elem(&flows, key) == 0 && is_shared)
        share_gives_back(pod_id);
}

/* Of a closed socket that had the same tuple, and of which ztunnel does not know yet. */
static __always_inline void remove_predecessor(const struct mesh_flow_key *key) {
    const struct mesh_flow *old = bpf_map_lookup_elem(&flows, key);
    if (old)
        remove_flow(key, old);
}

/* Fails closed when the map is full: sk_lookup drops a captured connection without a record, and a stray
 * of the kernel path, and takes one of the host or of ztunnel for plaintext. */
static __always_inline void publish(struct bpf_sock_ops *ctx) {
    struct bpf_sock *sk = ctx->sk;
    if (!sk)
        return;
    const struct mesh_origin *origin = bpf_sk_storage_get(&sockets, sk, NULL, 0);
    if (!origin || origin->kind == MESH_ORIGIN_NONE)
        return;

    struct mesh_flow_key key = flow_key(ctx);
    struct mesh_flow flow = {
        .socket_cookie = bpf_get_socket_cookie(ctx),
        .origin = *origin,
        .opened_at = bpf_ktime_get_ns(),
    };
    /* Added to the flags, not instead of them: another program may have asked for more. */
    bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
    bool is_kernel_path = origin->kind == MESH_ORIGIN_KERNEL;
    remove_predecessor(&key);
    if (bpf_map_update_elem(&flows, &key, &flow, BPF_ANY) != 0) {
        count(MESH_COUNTER_FLOWS_FULL);
        if (is_kernel_path)
            bpf_map_update_elem(&strays, &key, &flow.opened_at, BPF_ANY);
    } else if (is_kernel_path) {
        share_takes(flow.origin.pod_id);
    }
}

#define SOL_SOCKET 1
#define SO_BINDTODEVICE 25

/* Two pods that dial each other from the ports that they dial connect without anybody listening, so nobody
 * asks sk_lookup. Bound to `lo`, such a socket neither sends to another pod any more nor hears from it; that
 * the kernel sends an answer to the first packet before is of no use to the other one, which is bound too. */
static __always_inline void refuse_crossing(struct bpf_sock_ops *ctx) {
    struct bpf_sock *sk = ctx->sk;
    const struct mesh_origin *origin = sk ? bpf_sk_storage_get(&sockets, sk, NULL, 0) : NULL;
    if (!origin || origin->kind != MESH_ORIGIN_KERNEL)
        return;
    __be32 loopback = bpf_htonl(0x6c6f0000); /* "lo", where a literal would become a map of its own */
    bpf_setsockopt(ctx, SOL_SOCKET, SO_BINDTODEVICE, &loopback, 3);
    count(MESH_COUNTER_REFUSED_CROSSING);
}

/* Not inline, so that the type of the record is in the object's BTF. */
static __noinline long tell(const struct mesh_ended *record) {
    return bpf_ringbuf_output(&ended, (void *)record, sizeof(*record), 0);
}

static __always_inline void account(struct bpf_sock_ops *ctx, const struct mesh_flow_key *key,
                                    const struct mesh_flow *flow) {
    struct mesh_ended record = {
        .opened_at = flow->opened_at,
        .ended_at = bpf_ktime_get_ns(),
        .socket_cookie = flow->socket_cookie,
        .flow = *key,
        .source_pod_id = flow->origin.pod_id,
        .bytes_acked = ctx->bytes_acked,
        .bytes_received = ctx->bytes_received,
        .srtt_us = ctx->srtt_us,
        .retransmits = ctx->total_retrans,
        .original_ip = flow->origin.original_ip,
        .original_port = flow->origin.original_port,
        .last_state = ctx->args[0],
    };
    if (tell(&record) != 0)
        count(MESH_COUNTER_ENDED_UNTOLD);
}

/* The record must last until the handshake is over, which only the accepting side knows (with SYN cookies the
 * kernel asks sk_lookup again for the last packet), so it lasts as long as the socket. The callback runs
 * before the kernel frees the tuple; where a TIME_WAIT socket was put in its place, a successor may have
 * published under the same tuple, and the cookie keeps that one's record. */
static __always_inline void withdraw(struct bpf_sock_ops *ctx) {
    struct mesh_flow_key key = flow_key(ctx);
    struct mesh_flow *flow = bpf_map_lookup_elem(&flows, &key);
    if (!flow || flow->socket_cookie != bpf_get_socket_cookie(ctx))
        return;
    if (flow->origin.kind == MESH_ORIGIN_KERNEL && flow->stage == MESH_FLOW_ADMITTED)
        account(ctx, &key, flow);
    /* Waits in ztunnel's listen queue: without its record it would pass for a stranger's plaintext. */
    if (flow->origin.kind == MESH_ORIGIN_KERNEL && flow->stage == MESH_FLOW_ASKED) {
        flow->closed = 1;
        return;
    }
    remove_flow(&key, flow);
}

/* Records each connection that has an origin, for as long as it exists. */
SEC("sockops")
int mesh_sockops(struct bpf_sock_ops *ctx) {
    if (ctx->op == BPF_SOCK_OPS_TCP_CONNECT_CB)
        publish(ctx);
    else if (ctx->op == BPF_SOCK_OPS_STATE_CB && ctx->args[1] == BPF_TCP_CLOSE)
        withdraw(ctx);
    else if (ctx->op == BPF_SOCK_OPS_STATE_CB && ctx->args[0] == BPF_TCP_SYN_SENT &&
             ctx->args[1] == BPF_TCP_SYN_RECV)
        refuse_crossing(ctx);
    return DONE;
}
