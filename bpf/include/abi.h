/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything the kernel side shares with user space: layouts of map keys and values, and the constants in
 * them. Its twin is src/datapath/abi/layout.ts; test/bpf/abi.test.ts compares the two through this object's
 * BTF, and the agent does so again at every start. Fixed-width types only, padding spelled out, sizes
 * asserted.
 */
#pragma once

#include <linux/types.h>

/* To be raised with any change of a map's meaning, so that an agent does not adopt maps it would misread. */
#define MESH_ABI 7

/* The mesh's own TCP ports inside a pod's network namespace (src/base/ports.ts). */
enum mesh_port {
    MESH_PORT_OUTBOUND = 15001,  /* what the pod's applications dial, after capture */
    MESH_PORT_PLAINTEXT = 15006, /* plaintext that arrived for the pod */
    MESH_PORT_HBONE = 15008,     /* HBONE that arrived for the pod */
};

/* Whose connection it is. */
enum mesh_origin_kind {
    MESH_ORIGIN_NONE = 0,
    MESH_ORIGIN_CAPTURED = 1, /* an application of an enrolled pod, on its way to ztunnel */
    MESH_ORIGIN_HOST = 2,     /* a process in the node's own network namespace: a kubelet probe, say */
    MESH_ORIGIN_ZTUNNEL = 3,  /* ztunnel, delivering to an application */
    MESH_ORIGIN_KERNEL = 4,   /* an application of an enrolled pod, straight to one of the same node */
};

/* What sk_lookup made of a connection on the kernel path. */
enum mesh_flow_stage {
    MESH_FLOW_NEW = 0,      /* its SYN has not come by yet */
    MESH_FLOW_ADMITTED = 1, /* by a verdict: ztunnel knows nothing of it */
    MESH_FLOW_ASKED = 2,    /* handed to ztunnel, which takes the record when it accepts */
};

/* Which end of an accelerated connection. */
enum mesh_end {
    MESH_END_DIALLING = 0,
    MESH_END_ACCEPTING = 1,
};

/* How what an end of an accelerated connection sends reaches the other one. From one to the next only: bytes
 * that were sent by TCP must not be overtaken, those that were redirected never are. */
enum mesh_stream_stage {
    MESH_STREAM_NEW = 0,        /* nothing was sent yet */
    MESH_STREAM_REDIRECTED = 1, /* straight into the other socket */
    MESH_STREAM_TCP = 2,        /* from now on */
};

/* Which endpoint of a Service the connect hook drew, where that is not for the kernel to carry: ztunnel
 * begins with one of the same kind, so that every endpoint gets its share. */
enum mesh_drawn {
    MESH_DRAWN_NOTHING = 0, /* it drew none: no Service, or none of its endpoints takes the kernel path */
    MESH_DRAWN_ITSELF = 1,  /* the pod that dials */
    MESH_DRAWN_KERNEL = 2,  /* one that takes the kernel path, and could not be left to it */
    MESH_DRAWN_OTHER = 3,   /* one that does not */
};

/* mesh_destination.flags */
enum mesh_destination_flag {
    MESH_DESTINATION_WORKLOAD = 1,   /* address of a workload that takes HBONE */
    MESH_DESTINATION_SERVICE = 2,    /* virtual address of a Service */
    MESH_DESTINATION_KERNEL = 4,     /* of a pod of this node that takes the kernel path, both ways */
    MESH_DESTINATION_ACCELERATE = 8, /* of such a pod, whose connections there may be accelerated */
};

/* mesh_service.flags */
enum mesh_service_flag {
    MESH_SERVICE_LEAVES = 1, /* some of the endpoints are outside the mesh: not every pod may have them */
};

/* mesh_config.flags */
enum mesh_config_flag {
    MESH_CONFIG_CAPTURE_UNKNOWN = 1, /* `destinations` is incomplete: absence from it means nothing */
    MESH_CONFIG_KERNEL_PATH = 2,     /* pods of this node may reach each other without ztunnel */
    MESH_CONFIG_ACCELERATE = 4, /* and some of those connections are accelerated; cleared: none any more */
};

/* Indices of the `counters` map. */
enum mesh_counter {
    MESH_COUNTER_CAPTURED,            /* connections sent to ztunnel: the destination is in the mesh */
    MESH_COUNTER_CAPTURED_UNKNOWN,    /* connections sent to ztunnel: `destinations` is incomplete */
    MESH_COUNTER_DIRECT,              /* connections of enrolled pods left alone */
    MESH_COUNTER_REFUSED_MESH_PORT,   /* a pod dialled one of its own mesh ports */
    MESH_COUNTER_REFUSED_NO_ADDRESS,  /* the pod has no address of the family it needs for capture */
    MESH_COUNTER_REFUSED_NO_MEMORY,   /* the kernel had no room to remember an original destination */
    MESH_COUNTER_FLOWS_FULL,          /* a connection could not be recorded in `flows` */
    MESH_COUNTER_ADMITTED_ORIGIN,     /* inbound, recorded as the host's or ztunnel's: to the application */
    MESH_COUNTER_PLAINTEXT,           /* inbound, everything else: to ztunnel's plaintext listener */
    MESH_COUNTER_DROPPED_MESH_PORT,   /* inbound to a capture port without having been captured */
    MESH_COUNTER_DROPPED_UNKNOWN,     /* inbound to an address no enrolled pod has */
    MESH_COUNTER_DROPPED_NO_LISTENER, /* inbound while the pod's plaintext listener is missing */
    MESH_COUNTER_DENIED_EGRESS,       /* connections and datagrams that `egress` does not allow */
    MESH_COUNTER_DENIALS_UNTOLD,      /* of those, the ones that are in no record of `denials` */
    MESH_COUNTER_DENIED_CONNECTING,   /* UDP sockets not connected, to where TCP is let through */
    MESH_COUNTER_KERNEL,              /* connections of enrolled pods left to the kernel path */
    MESH_COUNTER_ADMITTED_KERNEL,     /* inbound on the kernel path, with a verdict: to the application */
    MESH_COUNTER_KERNEL_ASKED,        /* inbound on the kernel path, without one: to ztunnel, which decides */
    MESH_COUNTER_DROPPED_UNRECORDED, /* inbound on the kernel path, and its record did not fit into `flows` */
    MESH_COUNTER_REFUSED_CROSSING,   /* on the kernel path, pods that dialled each other at the same time */
    MESH_COUNTER_ENDED_UNTOLD,       /* kernel-path connections that ended and are in no record of `ended` */
    MESH_COUNTER_REFUSED_SHARE,      /* on the kernel path, and the pod has its share of `flows` already */
    MESH_COUNTER_KERNEL_SERVICE,     /* of those left to the kernel path, the ones to a Service */
    MESH_COUNTER_ACCELERATED,        /* connections of which both ends could be joined */
    MESH_COUNTER_ACCELERATION_FULL,  /* connections that could not be: `ends` or `accelerated` are full */
    MESH_COUNTER_ACCELERATION_LATE,  /* ends that stay with TCP: they sent before the other one was there */
    MESH_COUNTER_ACCELERATION_BULK,  /* ends that went over to TCP: they have sent too much */
    MESH_COUNTER_ACCELERATION_BROKEN, /* messages refused: the other end has gone */
    MESH_COUNTER_ACCELERATED_BYTES,   /* bytes that took the short way */
    MESH_COUNTER_COUNT,
};

/* Text for people, cut to fit and padded with NUL: "shop/web-5d4b". */
#define MESH_LABEL_SIZE 64
#define MESH_UID_SIZE 64

/* An IP address, network order; IPv4 as ::ffff:a.b.c.d (RFC 4291 2.5.5.2). */
struct mesh_addr {
    __be32 word[4];
};

/* Value of `config`. */
struct mesh_config {
    __u64 node_netns_cookie;  /* the node's own network namespace */
    __u64 ztunnel_cgroup_id;  /* processes in this cgroup are the mesh itself */
    __u64 drained_cgroup_id;  /* and those in this one, which finish what they began; 0: there are none */
    __u32 flags;              /* enum mesh_config_flag */
    __u32 abi;                /* MESH_ABI of who created the maps */
    __u64 verdict_generation; /* what entries of `verdicts` must carry to count; changed by every change that
                                 may change a verdict, before anything else follows it */
    __u32 last_pod_id;        /* none is given twice */
    __u32 flow_share;  /* records of the kernel path in `flows` that one pod may have, if it is alone */
    __u32 flow_least;  /* that each may have whatever others have */
    __u32 flow_common; /* room in `flows` for all who come: the rest is kept for who has less than that */
};

/* Value of `pods`; the key is the network namespace's cookie. */
struct mesh_pod {
    __u64 netns_inode; /* the same namespace, as /proc and links name it */
    __u32 id;          /* stable while the pod is enrolled, never 0 */
    char uid[MESH_UID_SIZE];
    char label[MESH_LABEL_SIZE];
    struct mesh_addr ip4; /* all zero: the pod has none */
    struct mesh_addr ip6;
    __u32 pad;
    __u64 egress_set; /* whose entries in `egress` restrict it; 0: none do */
};

/* Value of `destinations`; the key is the address. */
struct mesh_destination {
    __u32 flags; /* enum mesh_destination_flag */
    char label[MESH_LABEL_SIZE];
};

/* Key of `services`: what an application dials. */
struct mesh_service_key {
    struct mesh_addr ip;
    __u16 port; /* host order */
    __u16 pad;
};

/* Value of `services`: what a pod of this node may get there, each endpoint as likely as the other; or that
 * of its session. */
struct mesh_service {
    __u32 generation; /* of its entries in `endpoints`; another one with every change */
    __u32 kernel;     /* endpoints that take the kernel path: those in `endpoints`, from 0 on */
    __u32 total;      /* all that are drawn from */
    __u32 flags;      /* enum mesh_service_flag */
    __u32 session_ms; /* nothing is drawn: a client goes where its entry in `sessions` leads, until it has
                         made no connection for so long; 0: it has no sessions */
};

/* Key of `endpoints`. */
struct mesh_endpoint_key {
    struct mesh_service_key service;
    __u32 generation;
    __u32 index;
};

/* Value of `endpoints`: where one that takes the kernel path serves this port of the Service. */
struct mesh_endpoint {
    struct mesh_addr ip;
    __u16 port; /* host order */
    __u16 pad;
};

/* Key of `sessions`. */
struct mesh_session_key {
    struct mesh_addr client; /* the first address that the pod has of the family */
    struct mesh_service_key service;
};

/* Value of `sessions`: to which of the endpoints on the kernel path ztunnel sent this client. */
struct mesh_session {
    __u64 last_used;  /* bpf_ktime_get_ns(), of the client's last connection */
    __u32 generation; /* of the Service's entry then: while it is the same, that endpoint may be used */
    struct mesh_endpoint endpoint;
};

/* Value of `sockets`, and what `flows` says of a connection. */
struct mesh_origin {
    struct mesh_addr original_ip; /* what the application dialled; zero where it is still what is dialled */
    __u32 pod_id;        /* captured, kernel: the pod that dials; otherwise the one that is dialled */
    __u16 original_port; /* host order */
    __u8 kind;           /* enum mesh_origin_kind */
    __u8 drawn;          /* enum mesh_drawn */
};

/* Key of `flows`: a connection as the side that accepts it sees its packets. Ports in host order. */
struct mesh_flow_key {
    struct mesh_addr source_ip;
    struct mesh_addr destination_ip;
    __u16 source_port;
    __u16 destination_port;
};

/* Value of `flows`. */
struct mesh_flow {
    __u64 socket_cookie; /* the connecting socket: only that one may delete the record */
    struct mesh_origin origin;
    __u64 opened_at; /* bpf_ktime_get_ns() */
    __u8 stage;      /* enum mesh_flow_stage */
    __u8 closed;     /* 1: the socket is gone, and ztunnel has not accepted the connection yet */
    __u8 pad[6];
};

/* Value of `shares`, by pod id: the pod's records of the kernel path that came into `flows`, and went. No pod
 * has the id MESH_SHARE_NODE: there are all records that last as long as a connection, whosever they are. */
#define MESH_SHARE_NODE 0
struct mesh_share {
    __u32 published;
    __u32 withdrawn;
};

/* Key of `verdicts`: all that a verdict depends on besides the mesh itself, which the generation stands for.
 */
struct mesh_verdict_key {
    struct mesh_addr source_ip;
    struct mesh_addr destination_ip;
    __u32 source_pod_id;
    __u32 destination_pod_id;
    __u16 port; /* host order */
    __u16 pad;
};

/* Value of `verdicts`: allowed, by the mesh of that generation. Denials are not kept: ztunnel is to tell of
 * each. */
struct mesh_verdict {
    __u64 generation;
};

/* Record of `ended`: a connection that a verdict had admitted. */
struct mesh_ended {
    __u64 opened_at; /* bpf_ktime_get_ns() */
    __u64 ended_at;
    __u64 socket_cookie;
    struct mesh_flow_key flow;
    __u32 source_pod_id;
    __u64 bytes_acked;    /* as the kernel counts: SYN and FIN are a byte each */
    __u64 bytes_received; /* FIN is a byte */
    __u32 srtt_us;        /* eight times the smoothed round trip */
    __u32 retransmits;
    struct mesh_addr original_ip; /* what the application dialled; zero if it is what was reached */
    __u16 original_port;          /* host order */
    __u8 last_state;              /* enum of <linux/bpf.h>: BPF_TCP_… */
    __u8 accelerated;             /* 1: it went from socket to socket, at least in part */
    __u8 pad[4];
};

/* Key of `ends`. By the cookie of the dialling socket, which no other connection ever has: what is found
 * under it is that connection's other end, whatever became of addresses. */
struct mesh_end_key {
    __u64 connection;
    __u32 end; /* enum mesh_end */
    __u32 pad;
};

/* Value of `streams`: how this end sends. */
struct mesh_stream {
    __u64 connection;
    __u8 end;     /* enum mesh_end */
    __u8 stage;   /* enum mesh_stream_stage */
    __u8 watched; /* 1: sockops is asked about what TCP sends, on our behalf alone */
    __u8 pad[5];
};

/* Value of `accelerated`. TCP does not count these bytes. */
struct mesh_accelerated {
    __u64 bytes_sent;     /* redirected, from the side that dialled */
    __u64 bytes_received; /* to it */
    __u32 unanswered[2];  /* redirected by each end since the other one sent something */
};

/* The kernel lets a sender redirect without end to somebody who does not read. So an end that has sent this
 * much without hearing from the other one goes over to TCP, which stops it in time and is as good for bulk;
 */
#define MESH_UNANSWERED_BYTES (256 * 1024)
/* and so does one that has sent this much in all, for who asks and never reads gets answers, too. */
#define MESH_REDIRECTED_BYTES (64 * 1024 * 1024)

/* Key of `egress`, an LPM trie: all of the set, and as much of the address as the prefix has. */
struct mesh_egress_key {
    __u32 bits; /* that count, of what follows */
    __u32 pad;
    __u64 set;
    struct mesh_addr base;
};
#define MESH_EGRESS_KEY_BITS 224 /* all of it */

/* Both ends included, host order. */
struct mesh_port_range {
    __u16 first;
    __u16 last;
    __u8 protocol; /* IPPROTO_TCP or IPPROTO_UDP; 0: unused, and so are all after it */
    __u8 pad;
};

/* Ports that may be open at one address; more are not, whatever the rules say. */
#define MESH_EGRESS_RANGES 16

/* Value of `egress`: what is open at the addresses for which this is the longest prefix. */
struct mesh_egress {
    struct mesh_port_range open[MESH_EGRESS_RANGES];
};

/* Record of `denials`: one refusal. */
struct mesh_denial {
    __u64 at; /* bpf_ktime_get_ns() */
    struct mesh_addr ip;
    __u32 pod_id;
    __u32 untold; /* refusals of this pod since the last record of it that are in none */
    __u16 port;   /* host order */
    __u8 protocol;
    __u8 pad[5];
};

/* Value of `denial_rates`; the key is the pod's id. */
struct mesh_denial_rate {
    __u64 window_start;
    __u32 told; /* in this window */
    __u32 untold;
};

_Static_assert(sizeof(struct mesh_addr) == 16, "ABI");
_Static_assert(sizeof(struct mesh_config) == 56, "ABI");
_Static_assert(sizeof(struct mesh_pod) == 184, "ABI");
_Static_assert(sizeof(struct mesh_destination) == 68, "ABI");
_Static_assert(sizeof(struct mesh_service_key) == 20, "ABI");
_Static_assert(sizeof(struct mesh_service) == 20, "ABI");
_Static_assert(sizeof(struct mesh_endpoint_key) == 28, "ABI");
_Static_assert(sizeof(struct mesh_endpoint) == 20, "ABI");
_Static_assert(sizeof(struct mesh_session_key) == 36, "ABI");
_Static_assert(sizeof(struct mesh_session) == 32, "ABI");
_Static_assert(sizeof(struct mesh_origin) == 24, "ABI");
_Static_assert(sizeof(struct mesh_flow_key) == 36, "ABI");
_Static_assert(sizeof(struct mesh_flow) == 48, "ABI");
_Static_assert(sizeof(struct mesh_share) == 8, "ABI");
_Static_assert(sizeof(struct mesh_verdict_key) == 44, "ABI");
_Static_assert(sizeof(struct mesh_verdict) == 8, "ABI");
_Static_assert(sizeof(struct mesh_end_key) == 16, "ABI");
_Static_assert(sizeof(struct mesh_stream) == 16, "ABI");
_Static_assert(sizeof(struct mesh_accelerated) == 24, "ABI");
_Static_assert(sizeof(struct mesh_ended) == 112, "ABI");
_Static_assert(sizeof(struct mesh_egress_key) == 32, "ABI");
_Static_assert(sizeof(struct mesh_port_range) == 6, "ABI");
_Static_assert(sizeof(struct mesh_egress) == 96, "ABI");
_Static_assert(sizeof(struct mesh_denial) == 40, "ABI");
_Static_assert(sizeof(struct mesh_denial_rate) == 16, "ABI");
