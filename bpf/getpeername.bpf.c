// SPDX-License-Identifier: Apache-2.0
/*
 * cgroup/getpeername4 and getpeername6: shows the application the address it dialled, not ztunnel's. Decides
 * nothing: whatever is returned here, the connection stays what it is.
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "addr.h"
#include "maps.h"

char _license[] SEC("license") = "Apache-2.0";

/* The only return value the kernel takes from these hooks. */
#define DONE 1

/* What a socket dialled that was sent elsewhere: to ztunnel, or to an endpoint of the Service. NULL for every
 * other. */
static __always_inline const struct mesh_origin *redirected(struct bpf_sock_addr *ctx) {
    const struct mesh_origin *origin = bpf_sk_storage_get(&sockets, ctx->sk, NULL, 0);
    if (!origin || addr_is_zero(&origin->original_ip))
        return NULL;
    if (origin->kind == MESH_ORIGIN_CAPTURED)
        return ctx->user_port == bpf_htons(MESH_PORT_OUTBOUND) ? origin : NULL;
    return origin->kind == MESH_ORIGIN_KERNEL ? origin : NULL;
}

/* Answers for IPv4 sockets. */
SEC("cgroup/getpeername4")
int mesh_peername4(struct bpf_sock_addr *ctx) {
    const struct mesh_origin *origin = redirected(ctx);
    if (!origin)
        return DONE;
    ctx->user_ip4 = origin->original_ip.word[3];
    ctx->user_port = bpf_htons(origin->original_port);
    return DONE;
}

/* Answers for IPv6 sockets, IPv4-mapped destinations included. */
SEC("cgroup/getpeername6")
int mesh_peername6(struct bpf_sock_addr *ctx) {
    const struct mesh_origin *origin = redirected(ctx);
    if (!origin)
        return DONE;
    ctx->user_ip6[0] = origin->original_ip.word[0];
    ctx->user_ip6[1] = origin->original_ip.word[1];
    ctx->user_ip6[2] = origin->original_ip.word[2];
    ctx->user_ip6[3] = origin->original_ip.word[3];
    ctx->user_port = bpf_htons(origin->original_port);
    return DONE;
}
