// SPDX-License-Identifier: Apache-2.0
/*
 * cgroup/sendmsg4 and sendmsg6: run for each datagram that names its destination, on a connected socket too,
 * and refuse those that no NamespaceAccess allows. What a connected socket sends without naming one was
 * decided by connect.
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include "addr.h"
#include "egress.h"
#include "maps.h"

char _license[] SEC("license") = "Apache-2.0";

static __always_inline int decide(struct bpf_sock_addr *ctx, const struct mesh_addr *dst) {
    __u32 zero = 0;
    const struct mesh_config *node = bpf_map_lookup_elem(&config, &zero);
    if (!node)
        return 1; /* never: an array has all its elements */
    return datagram_allowed(ctx, is_mesh_process(node), dst, false);
}

/* Decides about IPv4 sockets' datagrams, and IPv6 sockets' to IPv4-mapped addresses: the kernel sends those
 * as IPv4. */
SEC("cgroup/sendmsg4")
int mesh_sendmsg4(struct bpf_sock_addr *ctx) {
    struct mesh_addr dst = addr_v4(ctx->user_ip4);
    return decide(ctx, &dst);
}

/* Decides about IPv6 sockets' datagrams. */
SEC("cgroup/sendmsg6")
int mesh_sendmsg6(struct bpf_sock_addr *ctx) {
    struct mesh_addr dst = addr_v6(ctx->user_ip6);
    return decide(ctx, &dst);
}
