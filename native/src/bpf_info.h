// What the kernel says about a descriptor: checked to be a map, program or link first, because their info
// structs look alike to the kernel's one call for all three.
#pragma once

#include <bpf/bpf.h>

#include "arg.h"

namespace mesh {

// Throws ERR_ARGUMENT unless `fd` is a map (program, link).
bpf_map_info map_info_of(const Args &args, int fd);
bpf_prog_info program_info_of(const Args &args, int fd);
bpf_link_info link_info_of(const Args &args, int fd);

// The same call for a descriptor known to be of the right kind. `info` may carry buffers to fill.
template <typename Info> void read_info(int fd, Info &info) {
    uint32_t size = sizeof(info);
    check(bpf_obj_get_info_by_fd(fd, &info, &size), "bpf(BPF_OBJ_GET_INFO_BY_FD)");
}

} // namespace mesh
