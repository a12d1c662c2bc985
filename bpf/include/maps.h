/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The maps, each with its purpose and its only writers. Sizes here are placeholders: the agent sets them from
 * its configuration before load (src/datapath/maps.ts lists them and what each bounds). `__weak` lets every
 * program file include this header; the linker keeps one definition and checks that all agree.
 */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "abi.h"

/* What the programs need to know of the node. Written by the agent. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct mesh_config);
} config SEC(".maps") __weak;

/* Enrolled pods of this node, by network namespace cookie: in here means captured. Written by the agent. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1);
    __type(key, __u64);
    __type(value, struct mesh_pod);
} pods SEC(".maps") __weak;

/* Which enrolled pod has an address: address -> pod id. Written by the agent. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1);
    __type(key, struct mesh_addr);
    __type(value, __u32);
} local_pods SEC(".maps") __weak;

/* Those of `local_pods` that have sk_lookup in front of them at this moment, which judges what is left to the
 * kernel, and that no other pod of the node has, too. Written by the agent: after the link is there, and
 * before it goes. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1);
    __type(key, struct mesh_addr);
    __type(value, __u32);
} guarded SEC(".maps") __weak;

/* Addresses an enrolled pod may reach through ztunnel only, in the whole mesh. Written by the agent. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1);
    __type(key, struct mesh_addr);
    __type(value, struct mesh_destination);
} destinations SEC(".maps") __weak;

/* Services of which an endpoint takes the kernel path: how connect draws one. Written by the agent: when all
 * of `endpoints` is there that it speaks of, and removed or replaced before anything of that goes. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1);
    __type(key, struct mesh_service_key);
    __type(value, struct mesh_service);
} services SEC(".maps") __weak;

/* The endpoints of `services` that take the kernel path. Written by the agent. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1);
    __type(key, struct mesh_endpoint_key);
    __type(value, struct mesh_endpoint);
} endpoints SEC(".maps") __weak;

/* Sessions of this node's clients that lead to an endpoint on the kernel path. Made and removed by the agent
 * alone; connect counts its own connections in (`last_used`). */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1);
    __type(key, struct mesh_session_key);
    __type(value, struct mesh_session);
} sessions SEC(".maps") __weak;

/* Each enrolled pod's plaintext listener: pod id -> socket. Written by the agent; emptied by the kernel on
 * close. */
struct {
    __uint(type, BPF_MAP_TYPE_SOCKHASH);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} listeners SEC(".maps") __weak;

/* From connect() to the SYN: what a socket's connection is. Written by connect; freed with the socket. */
struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct mesh_origin);
} sockets SEC(".maps") __weak;

/* From the SYN on: what a connection is, for the side that accepts it. Written by sockops, and the stage of
 * those on the kernel path by sk_lookup. Those that ztunnel accepts are removed by the agent then, all others
 * when their socket closes. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1);
    __type(key, struct mesh_flow_key);
    __type(value, struct mesh_flow);
} flows SEC(".maps") __weak;

/* How many records of the kernel path each pod has in `flows`: pod id -> what came and what went. Entries are
 * made by the agent, and counted in by sockops. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct mesh_share);
} shares SEC(".maps") __weak;

/* And how many of them the agent has removed: pod id -> count. Written by the agent. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
} settled SEC(".maps") __weak;

/* Which pods of this node may reach which others without asking ztunnel: a cache of its answers. Written by
 * the agent. What is missing, or of another generation than `config` says, is asked again. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 1);
    __type(key, struct mesh_verdict_key);
    __type(value, struct mesh_verdict);
} verdicts SEC(".maps") __weak;

/* Connections on the kernel path that found no room in `flows`, by tuple: not to be taken for plaintext.
 * Their SYNs follow at once, so a few will do. Written by sockops. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 1024);
    __type(key, struct mesh_flow_key);
    __type(value, __u64);
} strays SEC(".maps") __weak;

/* Kernel-path connections that ended, for the agent to account for. Written by sockops. */
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 524288);
} ended SEC(".maps") __weak;

/* Sockets of accelerated connections (docs/acceleration.md). Written by sockops when a connection stands; the
 * kernel removes sockets that are closed. mesh_sk_msg is attached to it. */
struct {
    __uint(type, BPF_MAP_TYPE_SOCKHASH);
    __uint(max_entries, 1);
    __type(key, struct mesh_end_key);
    __type(value, __u64);
} ends SEC(".maps") __weak;

/* How each of those sockets sends. Written by sockops and sk_msg; freed with the socket. */
struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct mesh_stream);
} streams SEC(".maps") __weak;

/* Accelerated connections, by the dialling socket's cookie. Made by sockops, counted in by sk_msg, removed
 * when the dialling socket closes. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1);
    __type(key, __u64);
    __type(value, struct mesh_accelerated);
} accelerated SEC(".maps") __weak;

/* Answers to the agent's question "which cookie has this network namespace?": socket cookie -> netns cookie.
 * For kernels without SO_NETNS_COOKIE. Written by connect. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 64);
    __type(key, __u64);
    __type(value, __u64);
} cookies SEC(".maps") __weak;

/* Events by `enum mesh_counter`, since load. Written by every program. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, MESH_COUNTER_COUNT);
    __type(key, __u32);
    __type(value, __u64);
} counters SEC(".maps") __weak;

/* What enrolled pods may reach outside the mesh, and by UDP anywhere. Written by the agent, in an order in
 * which no address is ever judged by anything but the old rules or the new ones
 * (src/datapath/egress/reconcile.ts). */
struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1);
    __type(key, struct mesh_egress_key);
    __type(value, struct mesh_egress);
} egress SEC(".maps") __weak;

/* Refusals, for the agent to tell people of. Written by connect and sendmsg. */
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 262144);
} denials SEC(".maps") __weak;

/* How many refusals each pod was told of lately: pod id -> count. Written by connect and sendmsg. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 4096);
    __type(key, __u32);
    __type(value, struct mesh_denial_rate);
} denial_rates SEC(".maps") __weak;
