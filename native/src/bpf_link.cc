#include "bpf_link.h"

#include <bpf/bpf.h>
#include <fcntl.h>

#include <cstdio>
#include <vector>

#include "bpf_info.h"
#include "bpf_list.h"
#include "fd.h"

namespace mesh {

namespace {

Napi::Value create_link(const Args &args, int program, int target) {
    const auto attach_type = static_cast<bpf_attach_type>(args.u32(2, "attachType"));
    return hand_out(args.env(), UniqueFd(check(bpf_link_create(program, target, attach_type, nullptr),
                                               "bpf(BPF_LINK_CREATE)")));
}

struct Target {
    uint32_t attach_type;
    uint64_t id;
};

Target target_of(const bpf_link_info &info) {
    switch (info.type) {
    case BPF_LINK_TYPE_CGROUP:
        return {info.cgroup.attach_type, info.cgroup.cgroup_id};
    case BPF_LINK_TYPE_NETNS:
        return {info.netns.attach_type, info.netns.netns_ino};
    default:
        return {0, 0};
    }
}

Napi::Object describe(Napi::Env env, const bpf_link_info &info) {
    const Target target = target_of(info);
    Napi::Object result = Napi::Object::New(env);
    result.Set("id", info.id);
    result.Set("programId", info.prog_id);
    result.Set("type", info.type);
    result.Set("attachType", target.attach_type);
    result.Set("targetId", Napi::BigInt::New(env, target.id));
    return result;
}

std::string tag_text(const bpf_prog_info &info) {
    char text[2 * sizeof(info.tag) + 1];
    for (size_t i = 0; i < sizeof(info.tag); i++)
        snprintf(text + 2 * i, 3, "%02x", info.tag[i]);
    return text;
}

// A second call, now that the number of maps is known.
Napi::Array map_ids_of(Napi::Env env, int fd, uint32_t count) {
    std::vector<uint32_t> ids(count);
    bpf_prog_info info{};
    info.nr_map_ids = count;
    info.map_ids = reinterpret_cast<uint64_t>(ids.data());
    read_info(fd, info);
    ids.resize(std::min(count, info.nr_map_ids));
    Napi::Array result = Napi::Array::New(env, ids.size());
    for (uint32_t i = 0; i < ids.size(); i++)
        result.Set(i, ids[i]);
    return result;
}

Napi::Object describe(Napi::Env env, int fd, const bpf_prog_info &info) {
    Napi::Object result = Napi::Object::New(env);
    result.Set("id", info.id);
    result.Set("name", std::string(info.name, strnlen(info.name, sizeof(info.name))));
    result.Set("type", info.type);
    result.Set("tag", tag_text(info));
    result.Set("mapIds", map_ids_of(env, fd, info.nr_map_ids));
    result.Set("runCount", Napi::BigInt::New(env, static_cast<uint64_t>(info.run_cnt)));
    result.Set("runTimeNs", Napi::BigInt::New(env, static_cast<uint64_t>(info.run_time_ns)));
    return result;
}

} // namespace

Napi::Value link_cgroup(const Args &args) {
    return create_link(args, args.fd(0, "program"), args.fd(1, "cgroup"));
}

Napi::Value link_netns(const Args &args) {
    const int program = args.fd(0, "program");
    const std::string path = args.path(1, "netns");
    const UniqueFd netns(check(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK), "open", path));
    return create_link(args, program, netns.get());
}

Napi::Value link_update(const Args &args) {
    check(bpf_link_update(args.fd(0, "link"), args.fd(1, "newProgram"), nullptr), "bpf(BPF_LINK_UPDATE)");
    return args.env().Undefined();
}

Napi::Value link_detach(const Args &args) {
    check(bpf_link_detach(args.fd(0, "link")), "bpf(BPF_LINK_DETACH)");
    return args.env().Undefined();
}

Napi::Value link_info(const Args &args) {
    return describe(args.env(), link_info_of(args, args.fd(0, "fd")));
}

// Not links: for sockhashes the kernel has those since 6.10 only.
Napi::Value attach_to_map(const Args &args) {
    const auto attach_type = static_cast<bpf_attach_type>(args.u32(2, "attachType"));
    check(bpf_prog_attach(args.fd(0, "program"), args.fd(1, "map"), attach_type, 0), "bpf(BPF_PROG_ATTACH)");
    return args.env().Undefined();
}

Napi::Value detach_from_map(const Args &args) {
    const int program = args.fd(0, "program");
    const auto attach_type = static_cast<bpf_attach_type>(args.u32(2, "attachType"));
    if (bpf_prog_detach2(program, args.fd(1, "map"), attach_type) == 0)
        return Napi::Boolean::New(args.env(), true);
    if (errno != ENOENT)
        throw ErrnoError(errno, "bpf(BPF_PROG_DETACH)");
    return Napi::Boolean::New(args.env(), false);
}

Napi::Value attached_to_map(const Args &args) {
    const int map = args.fd(0, "map");
    const auto attach_type = static_cast<bpf_attach_type>(args.u32(1, "attachType"));
    uint32_t id = 0;
    uint32_t count = 1;
    if (bpf_prog_query(map, attach_type, 0, nullptr, &id, &count) == 0)
        return Napi::Number::New(args.env(), count == 0 ? 0 : id);
    if (errno == EINVAL)
        return args.env().Null();
    throw ErrnoError(errno, "bpf(BPF_PROG_QUERY)");
}

Napi::Value program_info(const Args &args) {
    const int fd = args.fd(0, "fd");
    return describe(args.env(), fd, program_info_of(args, fd));
}

Napi::Value list_programs(const Args &args) {
    return list_kernel_objects(args.env(), {bpf_prog_get_next_id, bpf_prog_get_fd_by_id}, [&](int fd) {
        bpf_prog_info info{};
        read_info(fd, info);
        return describe(args.env(), fd, info);
    });
}

Napi::Value enable_run_stats(const Args &args) {
    return hand_out(args.env(),
                    UniqueFd(check(bpf_enable_stats(BPF_STATS_RUN_TIME), "bpf(BPF_ENABLE_STATS)")));
}

Napi::Value list_links(const Args &args) {
    return list_kernel_objects(args.env(), {bpf_link_get_next_id, bpf_link_get_fd_by_id}, [&](int fd) {
        bpf_link_info info{};
        read_info(fd, info);
        return describe(args.env(), info);
    });
}

} // namespace mesh
