/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses in their one form (16 bytes, IPv4 mapped), so that no program has a twin for the other family. */
#pragma once

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "abi.h"

/* Of <sys/socket.h>, which does not compile for the bpf target. */
#define AF_INET 2
#define AF_INET6 10

#define MAPPED_PREFIX bpf_htonl(0x0000ffff)

/* Macros, because a context's words cannot be passed by address. */
#define addr_v4(ip) ((struct mesh_addr){.word = {0, 0, MAPPED_PREFIX, (ip)}})
#define addr_v6(words) ((struct mesh_addr){.word = {(words)[0], (words)[1], (words)[2], (words)[3]}})

/* Ends a branch that read the context: keeps the compiler from merging its reads with the other branch's into
 * one read through a computed pointer, which the verifier refuses. */
#define keep_branch() asm volatile("" ::: "memory")

static __always_inline bool addr_is_v4(const struct mesh_addr *addr) {
    return addr->word[0] == 0 && addr->word[1] == 0 && addr->word[2] == MAPPED_PREFIX;
}

static __always_inline bool addr_equal(const struct mesh_addr *a, const struct mesh_addr *b) {
    return a->word[0] == b->word[0] && a->word[1] == b->word[1] && a->word[2] == b->word[2] &&
           a->word[3] == b->word[3];
}

static __always_inline bool addr_is_zero(const struct mesh_addr *addr) {
    return (addr->word[0] | addr->word[1] | addr->word[2] | addr->word[3]) == 0;
}

/* 127/8, ::1, and the unspecified addresses, which connect() takes for loopback (tcp_v4_connect,
 * tcp_v6_connect). */
static __always_inline bool addr_is_loopback(const struct mesh_addr *addr) {
    if (addr_is_v4(addr))
        return addr->word[3] == 0 || (addr->word[3] & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
    return (addr->word[0] | addr->word[1] | addr->word[2]) == 0 && (addr->word[3] & ~bpf_htonl(1)) == 0;
}
