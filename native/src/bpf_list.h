// Walks all objects of one kind (programs, maps, links) that the kernel has, by id.
#pragma once

#include <bpf/bpf.h>
#include <napi.h>

#include "errno_error.h"
#include "unique_fd.h"

namespace mesh {

struct IdWalk {
    int (*next_id)(uint32_t start, uint32_t *next);
    int (*open_id)(uint32_t id);
};

// `describe` gets a descriptor that lives during the call. Objects that vanish meanwhile are left out.
template <typename Describe> Napi::Array list_kernel_objects(Napi::Env env, IdWalk walk, Describe describe) {
    Napi::Array result = Napi::Array::New(env);
    uint32_t id = 0;
    while (walk.next_id(id, &id) == 0) {
        const UniqueFd fd(walk.open_id(id));
        if (!fd.valid() && errno == ENOENT)
            continue;
        check(fd.get(), "bpf(BPF_*_GET_FD_BY_ID)");
        const Napi::HandleScope scope(env);
        result.Set(result.Length(), describe(fd.get()));
    }
    if (errno != ENOENT)
        throw ErrnoError(errno, "bpf(BPF_*_GET_NEXT_ID)");
    return result;
}

} // namespace mesh
