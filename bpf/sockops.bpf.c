// SPDX-License-Identifier: Apache-2.0
/*
 * sock_ops: publishes what connect noted in a socket under the connection's tuple, which is known just before
 * the SYN leaves, and takes it back when the socket closes. The accepting side (sk_lookup, the agent) knows a
 * connection by its tuple only. Joins the two ends of a connection that is to be accelerated.
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
    __u8 kind = flow->origin.kind;
    __u32 pod_id = flow->origin.pod_id;
    /* The agent removes some, too: who did it counts it. */
    if (bpf_map_delete_elem(&flows, key) == 0)
        share_gives_back(kind, pod_id);
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
    remove_predecessor(&key);
    if (bpf_map_update_elem(&flows, &key, &flow, BPF_ANY) != 0) {
        count(MESH_COUNTER_FLOWS_FULL);
        if (flow.origin.kind == MESH_ORIGIN_KERNEL)
            bpf_map_update_elem(&strays, &key, &flow.opened_at, BPF_ANY);
    } else {
        share_takes(flow.origin.kind, flow.origin.pod_id);
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
    const __u64 connection = flow->socket_cookie;
    const struct mesh_accelerated *short_way = bpf_map_lookup_elem(&accelerated, &connection);
    struct mesh_ended record = {
        .opened_at = flow->opened_at,
        .ended_at = bpf_ktime_get_ns(),
        .socket_cookie = flow->socket_cookie,
        .flow = *key,
        .source_pod_id = flow->origin.pod_id,
        .bytes_acked = ctx->bytes_acked + (short_way ? short_way->bytes_sent : 0),
        .bytes_received = ctx->bytes_received + (short_way ? short_way->bytes_received : 0),
        .srtt_us = ctx->srtt_us,
        .retransmits = ctx->total_retrans,
        .original_ip = flow->origin.original_ip,
        .original_port = flow->origin.original_port,
        .last_state = ctx->args[0],
        .accelerated = short_way != NULL,
    };
    if (tell(&record) != 0)
        count(MESH_COUNTER_ENDED_UNTOLD);
}

/* The record must last until the handshake is over, which only the accepting side knows (with SYN cookies the
 * kernel asks sk_lookup again for the last packet), so it lasts as long as the socket. The callback runs
 * before the kernel frees the tuple; where a TIME_WAIT socket was put in its place, a successor may have
 * published under the same tuple, and the cookie keeps that one's record. */
static __always_inline void withdraw(struct bpf_sock_ops *ctx, __u64 cookie) {
    struct mesh_flow_key key = flow_key(ctx);
    struct mesh_flow *flow = bpf_map_lookup_elem(&flows, &key);
    if (!flow || flow->socket_cookie != cookie)
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

static __always_inline bool is_accelerating(void) {
    __u32 zero = 0;
    const struct mesh_config *node = bpf_map_lookup_elem(&config, &zero);
    return node && node->flags & MESH_CONFIG_ACCELERATE;
}

static __always_inline bool may_be_accelerated(const struct mesh_addr *ip) {
    const struct mesh_destination *known = bpf_map_lookup_elem(&destinations, ip);
    return known && known->flags & MESH_DESTINATION_ACCELERATE;
}

/* From here on mesh_sk_msg sees what this socket sends. */
static __always_inline bool join(struct bpf_sock_ops *ctx, struct bpf_sock *sk, __u64 connection,
                                 enum mesh_end end) {
    struct mesh_stream stream = {.connection = connection, .end = end};
    struct mesh_end_key key = {.connection = connection, .end = end};
    return bpf_sk_storage_get(&streams, sk, &stream, BPF_SK_STORAGE_GET_F_CREATE) &&
           bpf_sock_hash_update(ctx, &ends, &key, BPF_NOEXIST) == 0;
}

#define WATCH BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG

/* TCP asks about the headers of whatever it is about to send, which is the only way to hear that it sends. */
static __always_inline void watch(struct bpf_sock_ops *ctx, struct bpf_sock *sk) {
    struct mesh_stream *stream = bpf_sk_storage_get(&streams, sk, NULL, 0);
    if (!stream || ctx->bpf_sock_ops_cb_flags & WATCH)
        return;
    bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | WATCH);
    stream->watched = 1;
}

/* A send() that has waited for the handshake (TCP Fast Open without a cookie, or one in blocking mode while a
 * connect() is under way) goes by TCP, for it began before the socket was in `ends`. Then all that follows
 * does. Without a packet TCP asks how much fits into one: it is about to queue something. */
static __always_inline void notice_early_sender(struct bpf_sock_ops *ctx) {
    struct bpf_sock *sk = ctx->sk;
    struct mesh_stream *stream = sk ? bpf_sk_storage_get(&streams, sk, NULL, 0) : NULL;
    if (!stream || (ctx->state != BPF_TCP_ESTABLISHED && ctx->state != BPF_TCP_CLOSE_WAIT))
        return; /* the end of it, say: a FIN is no data */
    bool has_data = ctx->args[0] == BPF_WRITE_HDR_TCP_CURRENT_MSS || ctx->skb_len > 0;
    if (stream->stage == MESH_STREAM_NEW && !has_data)
        return;
    if (stream->stage == MESH_STREAM_NEW) {
        stream->stage = MESH_STREAM_TCP;
        count(MESH_COUNTER_ACCELERATION_LATE);
    }
    if (stream->watched)
        bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags & ~WATCH);
    stream->watched = 0;
}

/* The dialling end of a connection that a verdict admitted. Its other end follows, as its last packet of the
 * handshake arrives. What it sent with the SYN (TCP Fast Open) may not have been read yet. */
static __always_inline void join_dialling(struct bpf_sock_ops *ctx) {
    struct bpf_sock *sk = ctx->sk;
    if (!sk || !is_accelerating() || ctx->data_segs_out > 0)
        return;
    const struct mesh_origin *origin = bpf_sk_storage_get(&sockets, sk, NULL, 0);
    if (!origin || origin->kind != MESH_ORIGIN_KERNEL)
        return;
    struct mesh_flow_key key = flow_key(ctx);
    const struct mesh_flow *flow = bpf_map_lookup_elem(&flows, &key);
    __u64 connection = bpf_get_socket_cookie(ctx);
    if (!flow || flow->stage != MESH_FLOW_ADMITTED || flow->socket_cookie != connection)
        return;
    if (!may_be_accelerated(&key.source_ip) || !may_be_accelerated(&key.destination_ip))
        return;
    struct mesh_accelerated nothing_yet = {};
    if (bpf_map_update_elem(&accelerated, &connection, &nothing_yet, BPF_NOEXIST) != 0) {
        count(MESH_COUNTER_ACCELERATION_FULL);
    } else if (!join(ctx, sk, connection, MESH_END_DIALLING)) {
        bpf_map_delete_elem(&accelerated, &connection);
        count(MESH_COUNTER_ACCELERATION_FULL);
    } else {
        watch(ctx, sk);
    }
}

/* The other end, found by the record of the dialling one. ztunnel's are not among them: those are not
 * admitted.
 */
static __always_inline void join_accepting(struct bpf_sock_ops *ctx) {
    struct bpf_sock *sk = ctx->sk;
    if (!sk || !is_accelerating())
        return;
    struct mesh_flow_key here = flow_key(ctx);
    struct mesh_flow_key key = {
        .source_ip = here.destination_ip,
        .destination_ip = here.source_ip,
        .source_port = here.destination_port,
        .destination_port = here.source_port,
    };
    const struct mesh_flow *flow = bpf_map_lookup_elem(&flows, &key);
    if (!flow || flow->origin.kind != MESH_ORIGIN_KERNEL || flow->stage != MESH_FLOW_ADMITTED)
        return;
    __u64 connection = flow->socket_cookie;
    if (!bpf_map_lookup_elem(&accelerated, &connection))
        return;
    count(join(ctx, sk, connection, MESH_END_ACCEPTING) ? MESH_COUNTER_ACCELERATED
                                                        : MESH_COUNTER_ACCELERATION_FULL);
}

static __always_inline void end(struct bpf_sock_ops *ctx) {
    __u64 cookie = bpf_get_socket_cookie(ctx);
    withdraw(ctx, cookie);
    bpf_map_delete_elem(&accelerated, &cookie);
}

/* Records each connection that has an origin, for as long as it exists. */
SEC("sockops")
int mesh_sockops(struct bpf_sock_ops *ctx) {
    if (ctx->op == BPF_SOCK_OPS_TCP_CONNECT_CB)
        publish(ctx);
    else if (ctx->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB)
        join_dialling(ctx);
    else if (ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
        join_accepting(ctx);
    else if (ctx->op == BPF_SOCK_OPS_HDR_OPT_LEN_CB)
        notice_early_sender(ctx);
    else if (ctx->op == BPF_SOCK_OPS_STATE_CB && ctx->args[1] == BPF_TCP_CLOSE)
        end(ctx);
    else if (ctx->op == BPF_SOCK_OPS_STATE_CB && ctx->args[0] == BPF_TCP_SYN_SENT &&
             ctx->args[1] == BPF_TCP_SYN_RECV)
        refuse_crossing(ctx);
    return DONE;
}
