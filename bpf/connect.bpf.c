// SPDX-License-Identifier: Apache-2.0
/*
 * cgroup/connect4 and connect6: decides at connect() whether a connection goes to ztunnel, goes its own way,
 * or is refused, and notes in the socket what sockops is to record. No packet exists yet; the application
 * sees a refusal as EPERM. Destinations outside the mesh cost two or three map look-ups here and nothing
 * afterwards.
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "addr.h"
#include "counters.h"
#include "egress.h"
#include "maps.h"
#include "share.h"

char _license[] SEC("license") = "Apache-2.0";

enum verdict {
    REFUSE = 0, /* the return codes of a cgroup program */
    ALLOW = 1,
    REDIRECT, /* ALLOW, to the address that was put into `to` */
};

/* Where a connection goes: what the application said, until something else is put here. */
struct destination {
    struct mesh_addr ip;
    __u16 port; /* host order */
};

/* Addresses nobody has, for the agent's own questions (src/base/probe-address.ts): 192.0.2.1 (RFC 5737) and
 * 2001:db8::1 (RFC 3849). */
#define PROBE_IP4 bpf_htonl(0xc0000201)
#define PROBE_IP6_FIRST bpf_htonl(0x20010db8)
#define PROBE_IP6_LAST bpf_htonl(1)
#define COOKIE_PROBE_PORT 65535

static __always_inline bool is_mesh_port(__u16 port) {
    return port == MESH_PORT_OUTBOUND || port == MESH_PORT_PLAINTEXT || port == MESH_PORT_HBONE;
}

/* False if the kernel had no memory for it. */
static __always_inline bool remember(struct bpf_sock_addr *ctx, const struct mesh_origin *origin) {
    struct mesh_origin *stored =
        bpf_sk_storage_get(&sockets, ctx->sk, (void *)origin, BPF_SK_STORAGE_GET_F_CREATE);
    if (!stored)
        return false;
    *stored = *origin; /* a socket may connect again after a failure */
    return true;
}

static __always_inline void forget(struct bpf_sock_addr *ctx) {
    struct mesh_origin *stored = bpf_sk_storage_get(&sockets, ctx->sk, NULL, 0);
    if (stored)
        stored->kind = MESH_ORIGIN_NONE;
}

/* The host's and ztunnel's connections go where they were going; those to an enrolled pod are announced to
 * its sk_lookup. Without memory they are not, and then count as plaintext there: never more trusted by
 * accident. */
static __always_inline enum verdict announce(struct bpf_sock_addr *ctx, const struct mesh_addr *dst,
                                             enum mesh_origin_kind kind) {
    __u32 *pod_id = bpf_map_lookup_elem(&local_pods, dst);
    if (pod_id) {
        struct mesh_origin origin = {.pod_id = *pod_id, .kind = kind};
        remember(ctx, &origin);
    } else {
        forget(ctx);
    }
    return ALLOW;
}

static __always_inline enum verdict direct(struct bpf_sock_addr *ctx) {
    forget(ctx);
    count(MESH_COUNTER_DIRECT);
    return ALLOW;
}

static __always_inline enum verdict refuse(enum mesh_counter why) {
    count(why);
    return REFUSE;
}

/* To ztunnel's listener in the pod itself: the pod's own address keeps getsockname() true and the
 * connection's tuple unique on the node. */
static __always_inline enum verdict capture(struct bpf_sock_addr *ctx, const struct mesh_pod *pod,
                                            struct destination *to, enum mesh_drawn drawn) {
    const struct mesh_addr *own = addr_is_v4(&to->ip) ? &pod->ip4 : &pod->ip6;
    struct mesh_origin origin = {.original_ip = to->ip,
                                 .original_port = to->port,
                                 .pod_id = pod->id,
                                 .kind = MESH_ORIGIN_CAPTURED,
                                 .drawn = drawn};

    /* Fails closed: the destination is (or may be) in the mesh, and must not be reached around ztunnel. */
    if (addr_is_zero(own))
        return refuse(MESH_COUNTER_REFUSED_NO_ADDRESS);
    if (!remember(ctx, &origin))
        return refuse(MESH_COUNTER_REFUSED_NO_MEMORY);
    to->ip = *own;
    to->port = MESH_PORT_OUTBOUND;
    return REDIRECT;
}

/* A pod of this node that takes the kernel path: as the agent wants it, and with sk_lookup in front of it. */
static __always_inline bool takes_kernel_path(const struct mesh_addr *ip) {
    const struct mesh_destination *known = bpf_map_lookup_elem(&destinations, ip);
    return known && known->flags & MESH_DESTINATION_KERNEL && bpf_map_lookup_elem(&guarded, ip);
}

/* Whether the pod dials by it; family by family, as a pod's addresses are. */
static __always_inline bool dials_kernel_path(const struct mesh_config *node, const struct mesh_pod *pod,
                                              const struct mesh_addr *dst) {
    return node->flags & MESH_CONFIG_KERNEL_PATH && has_share(pod->id) &&
           takes_kernel_path(addr_is_v4(dst) ? &pod->ip4 : &pod->ip6);
}

/* Announced as this pod's. Should the announcement not fit, the pod that is dialled drops it; and it asks
 * ztunnel unless a verdict is there. */
static __always_inline bool leave_to_kernel(struct bpf_sock_addr *ctx, const struct mesh_pod *pod,
                                            const struct destination *dialled) {
    struct mesh_origin origin = {.pod_id = pod->id, .kind = MESH_ORIGIN_KERNEL};
    if (dialled) {
        origin.original_ip = dialled->ip;
        origin.original_port = dialled->port;
    }
    return remember(ctx, &origin);
}

static __always_inline enum mesh_drawn draw_any(const struct mesh_pod *pod,
                                                const struct mesh_service_key *key,
                                                const struct mesh_service *choice,
                                                struct mesh_endpoint *endpoint) {
    /* Who may not leave the mesh has fewer to choose from. */
    if (choice->total == 0 || (choice->flags & MESH_SERVICE_LEAVES && pod->egress_set != 0))
        return MESH_DRAWN_NOTHING;
    struct mesh_endpoint_key number = {.service = *key, .generation = choice->generation};
    number.index = bpf_get_prandom_u32() % choice->total;
    if (number.index >= choice->kernel)
        return MESH_DRAWN_OTHER;
    const struct mesh_endpoint *found = bpf_map_lookup_elem(&endpoints, &number);
    if (!found)
        return MESH_DRAWN_NOTHING;
    *endpoint = *found;
    return MESH_DRAWN_KERNEL;
}

/* Goes on with the client's session. It begins, moves and ends with ztunnel, which is asked whenever it might
 * do any of these: no session, too long ago, or the endpoints are others than when it was judged. */
static __always_inline enum mesh_drawn resume(const struct mesh_pod *pod, const struct mesh_service_key *key,
                                              const struct mesh_service *choice,
                                              struct mesh_endpoint *endpoint) {
    struct mesh_session_key id = {.client = addr_is_v4(&key->ip) ? pod->ip4 : pod->ip6, .service = *key};
    struct mesh_session *session = bpf_map_lookup_elem(&sessions, &id);
    if (!session)
        return MESH_DRAWN_NOTHING;
    __u64 now = bpf_ktime_get_ns();
    /* Another CPU may have written a later time. */
    __s64 idle = now - session->last_used;
    if (session->generation != choice->generation || idle >= (__s64)choice->session_ms * 1000000)
        return MESH_DRAWN_NOTHING;
    *endpoint = session->endpoint;
    /* As with the Service's entry: still under this key means that it was read from there. */
    const struct mesh_session *still = bpf_map_lookup_elem(&sessions, &id);
    if (!still || still->generation != choice->generation || still->endpoint.port != endpoint->port ||
        !addr_equal(&still->endpoint.ip, &endpoint->ip))
        return MESH_DRAWN_NOTHING;
    session->last_used = now;
    return MESH_DRAWN_KERNEL;
}

/* Draws an endpoint of the Service, as ztunnel would, or takes that of the client's session; fills in which,
 * if the kernel path reaches it. */
static __always_inline enum mesh_drawn draw(const struct mesh_pod *pod, const struct destination *dialled,
                                            struct mesh_endpoint *endpoint) {
    struct mesh_service_key key = {.ip = dialled->ip, .port = dialled->port};
    const struct mesh_service *service = bpf_map_lookup_elem(&services, &key);
    if (!service)
        return MESH_DRAWN_NOTHING;
    struct mesh_service choice = *service;
    enum mesh_drawn drawn = choice.session_ms != 0 ? resume(pod, &key, &choice, endpoint)
                                                   : draw_any(pod, &key, &choice, endpoint);
    if (drawn != MESH_DRAWN_KERNEL)
        return drawn;
    /* The agent may have replaced the choice meanwhile, and the kernel given the entries' memory to others.
     * As long as the same one is in force, what was read is of it. */
    service = bpf_map_lookup_elem(&services, &key);
    if (!service || service->generation != choice.generation || service->kernel != choice.kernel ||
        service->total != choice.total || service->session_ms != choice.session_ms)
        return MESH_DRAWN_NOTHING;
    return is_own(pod, &endpoint->ip) ? MESH_DRAWN_ITSELF : MESH_DRAWN_KERNEL;
}

/* To a Service: sent on to the endpoint that was drawn, if the kernel path reaches that; else ztunnel is told
 * which kind it was. Should the mesh's own port be in the entry, it is nothing for the kernel path. */
static __always_inline enum verdict to_service(struct bpf_sock_addr *ctx, const struct mesh_config *node,
                                               const struct mesh_pod *pod, struct destination *to) {
    struct mesh_endpoint endpoint = {};
    enum mesh_drawn drawn = draw(pod, to, &endpoint);
    if (drawn == MESH_DRAWN_KERNEL && !is_mesh_port(endpoint.port) && takes_kernel_path(&endpoint.ip)) {
        if (share_is_used_up(node, pod->id))
            return refuse(MESH_COUNTER_REFUSED_SHARE);
        if (leave_to_kernel(ctx, pod, to)) {
            to->ip = endpoint.ip;
            to->port = endpoint.port;
            count(MESH_COUNTER_KERNEL);
            count(MESH_COUNTER_KERNEL_SERVICE);
            return REDIRECT;
        }
    }
    count(MESH_COUNTER_CAPTURED);
    return capture(ctx, pod, to, drawn);
}

/* To an address that must not be reached around ztunnel but by the kernel path. */
static __always_inline enum verdict into_mesh(struct bpf_sock_addr *ctx, const struct mesh_config *node,
                                              const struct mesh_pod *pod,
                                              const struct mesh_destination *known, struct destination *to) {
    if (!is_mesh_port(to->port) && dials_kernel_path(node, pod, &to->ip)) {
        if (known->flags & MESH_DESTINATION_SERVICE)
            return to_service(ctx, node, pod, to);
        if (takes_kernel_path(&to->ip)) {
            /* Not through ztunnel instead: its connection to that pod would be a record for as long, too. */
            if (share_is_used_up(node, pod->id))
                return refuse(MESH_COUNTER_REFUSED_SHARE);
            if (leave_to_kernel(ctx, pod, NULL)) {
                count(MESH_COUNTER_KERNEL);
                return ALLOW;
            }
        }
    }
    count(MESH_COUNTER_CAPTURED);
    return capture(ctx, pod, to, MESH_DRAWN_NOTHING);
}

/* A connection of an enrolled pod's application. */
static __always_inline enum verdict decide_for_pod(struct bpf_sock_addr *ctx, const struct mesh_config *node,
                                                   const struct mesh_pod *pod, struct destination *to) {
    if (addr_is_loopback(&to->ip) || is_own(pod, &to->ip))
        return is_mesh_port(to->port) ? refuse(MESH_COUNTER_REFUSED_MESH_PORT) : direct(ctx);
    const struct mesh_destination *known = bpf_map_lookup_elem(&destinations, &to->ip);
    if (known)
        return into_mesh(ctx, node, pod, known, to);
    /* Absence means "not in the mesh" only while the map holds the whole mesh. ztunnel knows, and judges
     * egress, too. */
    if (node->flags & MESH_CONFIG_CAPTURE_UNKNOWN) {
        count(MESH_COUNTER_CAPTURED_UNKNOWN);
        return capture(ctx, pod, to, MESH_DRAWN_NOTHING);
    }
    if (egress_allows(pod, &to->ip, to->port, IPPROTO_TCP))
        return direct(ctx);
    denied(pod, &to->ip, to->port, IPPROTO_TCP);
    return REFUSE;
}

/* The agent asks for a namespace's cookie by a UDP connect() from there, which never sends anything. */
static __always_inline bool is_cookie_probe(struct bpf_sock_addr *ctx, const struct mesh_addr *dst) {
    return ctx->protocol == IPPROTO_UDP && ctx->user_port == bpf_htons(COOKIE_PROBE_PORT) &&
           addr_is_v4(dst) && dst->word[3] == PROBE_IP4;
}

static __always_inline bool is_probe_address(const struct mesh_addr *dst) {
    if (addr_is_v4(dst))
        return dst->word[3] == PROBE_IP4;
    return dst->word[0] == PROBE_IP6_FIRST && dst->word[1] == 0 && dst->word[2] == 0 &&
           dst->word[3] == PROBE_IP6_LAST;
}

/* The agent plays an application of the pod, to see that what applications dial is captured. Whatever is not
 * captured is refused, and never sent. */
static __always_inline enum verdict answer_capture_probe(struct bpf_sock_addr *ctx,
                                                         const struct mesh_pod *pod, struct destination *to) {
    return pod ? capture(ctx, pod, to, MESH_DRAWN_NOTHING) : REFUSE;
}

static __always_inline enum verdict answer_cookie_probe(struct bpf_sock_addr *ctx) {
    __u64 socket = bpf_get_socket_cookie(ctx);
    __u64 netns = bpf_get_netns_cookie(ctx);
    bpf_map_update_elem(&cookies, &socket, &netns, BPF_ANY);
    return REFUSE;
}

static __always_inline enum verdict decide(struct bpf_sock_addr *ctx, struct destination *to) {
    const struct mesh_addr *dst = &to->ip;
    __u32 zero = 0;
    const struct mesh_config *node = bpf_map_lookup_elem(&config, &zero);
    if (!node)
        return ALLOW; /* never: an array has all its elements */

    /* First, because ztunnel's sockets are in the pods' network namespaces. */
    bool is_ztunnel = is_mesh_process(node);
    if (is_ztunnel && is_cookie_probe(ctx, dst))
        return answer_cookie_probe(ctx);
    if (is_datagram(ctx->protocol))
        return datagram_allowed(ctx, is_ztunnel, dst, true) ? ALLOW : REFUSE;
    if (ctx->protocol != IPPROTO_TCP)
        return ALLOW; /* the mesh carries TCP, and judges UDP */
    if (is_ztunnel && !is_probe_address(dst))
        return announce(ctx, dst, MESH_ORIGIN_ZTUNNEL);

    __u64 netns = bpf_get_netns_cookie(ctx);
    const struct mesh_pod *pod = bpf_map_lookup_elem(&pods, &netns);
    if (is_ztunnel)
        return answer_capture_probe(ctx, pod, to);
    if (pod)
        return decide_for_pod(ctx, node, pod, to);
    if (netns == node->node_netns_cookie)
        return announce(ctx, dst, MESH_ORIGIN_HOST);
    return ALLOW; /* a pod that is not enrolled: none of our business */
}

/* Decides about IPv4 sockets' connections. */
SEC("cgroup/connect4")
int mesh_connect4(struct bpf_sock_addr *ctx) {
    struct destination to = {.ip = addr_v4(ctx->user_ip4), .port = bpf_ntohs(ctx->user_port)};
    enum verdict verdict = decide(ctx, &to);
    if (verdict != REDIRECT)
        return verdict;
    ctx->user_ip4 = to.ip.word[3];
    ctx->user_port = bpf_htons(to.port);
    return ALLOW;
}

/* Decides about IPv6 sockets' connections, IPv4-mapped destinations included. */
SEC("cgroup/connect6")
int mesh_connect6(struct bpf_sock_addr *ctx) {
    struct destination to = {.ip = addr_v6(ctx->user_ip6), .port = bpf_ntohs(ctx->user_port)};
    enum verdict verdict = decide(ctx, &to);
    if (verdict != REDIRECT)
        return verdict;
    ctx->user_ip6[0] = to.ip.word[0];
    ctx->user_ip6[1] = to.ip.word[1];
    ctx->user_ip6[2] = to.ip.word[2];
    ctx->user_ip6[3] = to.ip.word[3];
    ctx->user_port = bpf_htons(to.port);
    return ALLOW;
}
