#include "bpf_fs.h"

#include <bpf/bpf.h>

#include "fd.h"

namespace mesh {

Napi::Value pin(const Args &args) {
    const int fd = args.fd(0, "fd");
    const std::string path = args.path(1, "path");
    check(bpf_obj_pin(fd, path.c_str()), "bpf(BPF_OBJ_PIN)", path);
    return args.env().Undefined();
}

Napi::Value open_pinned(const Args &args) {
    const std::string path = args.path(0, "path");
    return hand_out(args.env(), UniqueFd(check(bpf_obj_get(path.c_str()), "bpf(BPF_OBJ_GET)", path)));
}

} // namespace mesh
