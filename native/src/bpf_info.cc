#include "bpf_info.h"

#include <unistd.h>

#include <algorithm>
#include <array>

namespace mesh {

namespace {

// The kernel has no call that tells the kind of a BPF descriptor; the name of its anonymous inode does. Links
// are called bpf_link when created and bpf-link when opened again.
void expect_kind(const Args &args, int fd, const std::string &kind) {
    const std::string path = "/proc/self/fd/" + std::to_string(fd);
    std::array<char, 64> target{};
    const ssize_t size = check(readlink(path.c_str(), target.data(), target.size()), "readlink", path);
    std::string name(target.data(), static_cast<size_t>(size));
    std::replace(name.begin(), name.end(), '_', '-');
    if (name != "anon-inode:bpf-" + kind)
        args.reject("descriptor " + std::to_string(fd) + " is no BPF " + kind + " but " + name);
}

template <typename Info> Info info_of(const Args &args, int fd, const char *kind) {
    expect_kind(args, fd, kind);
    Info info{};
    read_info(fd, info);
    return info;
}

} // namespace

bpf_map_info map_info_of(const Args &args, int fd) {
    return info_of<bpf_map_info>(args, fd, "map");
}

bpf_prog_info program_info_of(const Args &args, int fd) {
    return info_of<bpf_prog_info>(args, fd, "prog");
}

bpf_link_info link_info_of(const Args &args, int fd) {
    return info_of<bpf_link_info>(args, fd, "link");
}

} // namespace mesh
