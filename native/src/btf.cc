#include "btf.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <memory>

#include "bpf_info.h"
#include "libbpf_log.h"

namespace mesh {

namespace {

struct FreeBtf {
    void operator()(btf *types) const {
        btf__free(types);
    }
};

Napi::Object member_of(Napi::Env env, const btf *types, const btf_type *type, uint32_t index) {
    const btf_member &member = btf_members(type)[index];
    const int64_t size = btf__resolve_size(types, member.type);
    Napi::Object result = Napi::Object::New(env);
    result.Set("name", btf__name_by_offset(types, member.name_off));
    result.Set("offsetBits", btf_member_bit_offset(type, index));
    // A flexible array has no size of its own.
    result.Set("sizeBytes", static_cast<double>(size < 0 ? 0 : size));
    return result;
}

Napi::Object struct_of(Napi::Env env, const btf *types, const btf_type *type) {
    Napi::Array members = Napi::Array::New(env, btf_vlen(type));
    for (uint32_t i = 0; i < btf_vlen(type); i++)
        members.Set(i, member_of(env, types, type, i));
    Napi::Object result = Napi::Object::New(env);
    result.Set("name", btf__name_by_offset(types, type->name_off));
    result.Set("sizeBytes", type->size);
    result.Set("members", members);
    return result;
}

using Btf = std::unique_ptr<btf, FreeBtf>;

Napi::Array named_structs(Napi::Env env, const Btf &types) {
    Napi::Array structs = Napi::Array::New(env);
    for (uint32_t id = 1; id < btf__type_cnt(types.get()); id++) {
        const btf_type *type = btf__type_by_id(types.get(), id);
        if (!btf_is_struct(type) || type->name_off == 0)
            continue;
        structs.Set(structs.Length(), struct_of(env, types.get(), type));
    }
    return structs;
}

} // namespace

Napi::Value btf_structs(const Args &args) {
    const std::string path = args.path(0, "path");
    LibbpfLog log;
    const Btf types(btf__parse_elf(path.c_str(), nullptr));
    if (types == nullptr)
        throw ErrnoError(errno, "btf__parse_elf", path + ": " + log.summary());
    return named_structs(args.env(), types);
}

Napi::Value map_structs(const Args &args) {
    const bpf_map_info info = map_info_of(args, args.fd(0, "fd"));
    if (info.btf_id == 0)
        return Napi::Array::New(args.env());
    LibbpfLog log;
    const Btf types(btf__load_from_kernel_by_id(info.btf_id));
    if (types == nullptr)
        throw ErrnoError(errno, "btf__load_from_kernel_by_id", log.summary());
    return named_structs(args.env(), types);
}

} // namespace mesh
