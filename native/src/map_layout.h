// Sizes of one map's keys and values as user space sees them, asked of the kernel for every call: descriptors
// are reused, so nothing about them is remembered.
#pragma once

#include <linux/bpf.h>

#include "arg.h"

namespace mesh {

struct MapLayout {
    int fd;
    uint32_t type;
    size_t key_size;
    // For per-CPU maps: the values of all possible CPUs one after another, each padded to 8 bytes.
    size_t value_size;
    uint32_t max_entries;
};

MapLayout map_layout(const Args &args, int fd);

// The kernel wants a null pointer where a map (queue, stack) has no keys.
inline const void *key_pointer(const MapLayout &map, const uint8_t *key) {
    return map.key_size == 0 ? nullptr : key;
}

} // namespace mesh
