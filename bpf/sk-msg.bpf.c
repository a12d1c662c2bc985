// SPDX-License-Identifier: Apache-2.0
/*
 * sk_msg, attached to `ends`: hands what one end of an accelerated connection sends straight to the other
 * end's socket (docs/acceleration.md). Runs in the sender's system call.
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include "counters.h"
#include "maps.h"

char _license[] SEC("license") = "Apache-2.0";

static __always_inline bool is_accelerating(void) {
    __u32 zero = 0;
    const struct mesh_config *node = bpf_map_lookup_elem(&config, &zero);
    return node && node->flags & MESH_CONFIG_ACCELERATE;
}

static __always_inline long redirect(struct sk_msg_md *msg, const struct mesh_stream *stream) {
    struct mesh_end_key other = {.connection = stream->connection, .end = !stream->end};
    return bpf_msg_redirect_hash(msg, &ends, &other, BPF_F_INGRESS);
}

static __always_inline int stay_with_tcp(struct mesh_stream *stream) {
    stream->stage = MESH_STREAM_TCP;
    return SK_PASS;
}

/* What an end has redirected since the other one sent something. */
static __always_inline __u32 *unanswered(struct mesh_accelerated *connection, bool dialling) {
    return dialling ? &connection->unanswered[0] : &connection->unanswered[1];
}

static __always_inline __u64 *redirected(struct mesh_accelerated *connection, bool dialling) {
    return dialling ? &connection->bytes_sent : &connection->bytes_received;
}

static __always_inline bool is_too_much(struct mesh_accelerated *connection, bool dialling, __u32 size) {
    return size > MESH_UNANSWERED_BYTES || *unanswered(connection, dialling) + size > MESH_UNANSWERED_BYTES ||
           *redirected(connection, dialling) + size > MESH_REDIRECTED_BYTES;
}

static __always_inline void count_bytes(struct mesh_accelerated *connection, bool dialling, __u32 size) {
    *unanswered(connection, dialling) += size;
    *redirected(connection, dialling) += size; /* one sender at a time: the kernel holds the socket's lock */
    count_many(MESH_COUNTER_ACCELERATED_BYTES, size);
}

/* The other end was there and has gone: it closed, of which TCP tells, if the news has arrived. If not, what
 * is sent now must not get around what was redirected before. */
static __always_inline int without_peer(struct bpf_sock *sk) {
    if (sk->state == BPF_TCP_CLOSE_WAIT)
        return SK_PASS;
    count(MESH_COUNTER_ACCELERATION_BROKEN);
    return SK_DROP;
}

/* The first message decides: redirected ones may be followed by TCP, and never the other way round, because a
 * reader gets the redirected ones first. */
static __always_inline int send(struct sk_msg_md *msg, struct bpf_sock *sk, struct mesh_stream *stream,
                                struct mesh_accelerated *connection) {
    bool dialling = stream->end == MESH_END_DIALLING;
    bool is_first = stream->stage == MESH_STREAM_NEW;

    if (is_too_much(connection, dialling, msg->size)) {
        count(MESH_COUNTER_ACCELERATION_BULK);
        return stay_with_tcp(stream);
    }
    if (redirect(msg, stream) != SK_PASS) {
        if (!is_first)
            return without_peer(sk);
        count(MESH_COUNTER_ACCELERATION_LATE);
        return stay_with_tcp(stream);
    }
    stream->stage = MESH_STREAM_REDIRECTED;
    count_bytes(connection, dialling, msg->size);
    return SK_PASS;
}

/* Redirects a message, or leaves it to TCP. */
SEC("sk_msg")
int mesh_sk_msg(struct sk_msg_md *msg) {
    struct bpf_sock *sk = msg->sk;
    struct mesh_stream *stream = sk ? bpf_sk_storage_get(&streams, sk, NULL, 0) : NULL;
    if (!stream)
        return SK_PASS;
    __u64 key = stream->connection;
    struct mesh_accelerated *connection = bpf_map_lookup_elem(&accelerated, &key);
    if (connection)
        *unanswered(connection, stream->end != MESH_END_DIALLING) = 0; /* here is an answer */
    if (stream->stage == MESH_STREAM_TCP)
        return SK_PASS;
    /* Ended, by whomever: TCP says so, and nothing passes any more. */
    if (sk->state != BPF_TCP_ESTABLISHED && sk->state != BPF_TCP_CLOSE_WAIT)
        return SK_PASS;
    if (!connection || !is_accelerating())
        return stay_with_tcp(stream);
    return send(msg, sk, stream, connection);
}
