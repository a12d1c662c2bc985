#include "bpf_map.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <vector>

#include "bpf_info.h"
#include "bpf_list.h"
#include "fd.h"
#include "map_layout.h"
#include "napi_bytes.h"

namespace mesh {

namespace {

bool is_per_cpu(uint32_t type) {
    return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY ||
           type == BPF_MAP_TYPE_LRU_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE;
}

size_t per_cpu_size(size_t value_size) {
    const int cpus = libbpf_num_possible_cpus();
    if (cpus < 0)
        throw ErrnoError(-cpus, "libbpf_num_possible_cpus");
    return (value_size + 7) / 8 * 8 * static_cast<size_t>(cpus);
}

Napi::Object describe(Napi::Env env, const bpf_map_info &info) {
    Napi::Object result = Napi::Object::New(env);
    result.Set("id", info.id);
    result.Set("name", std::string(info.name, strnlen(info.name, sizeof(info.name))));
    result.Set("type", info.type);
    result.Set("keySize", info.key_size);
    result.Set("valueSize", info.value_size);
    result.Set("maxEntries", info.max_entries);
    result.Set("flags", info.map_flags);
    return result;
}

MapLayout layout_of(int fd, const bpf_map_info &info) {
    const size_t value_size = is_per_cpu(info.type) ? per_cpu_size(info.value_size) : info.value_size;
    return {fd, info.type, info.key_size, value_size, info.max_entries};
}

// Values of more bytes are not looked up a thousand times a second.
constexpr size_t usual_value_size = 4096;

// Every connection costs a lookup, and finding out what kind of descriptor it is given takes longer than all the
// rest of that. So the kind is asked only when sizes look odd; of what is no map the kernel reads nothing.
MapLayout layout_for_key(const Args &args, int fd, size_t key_size) {
    bpf_map_info info{};
    uint32_t size = sizeof(info);
    const bool fits = bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && info.key_size == key_size &&
                      info.value_size <= usual_value_size;
    return fits ? layout_of(fd, info) : map_layout(args, fd);
}

// Null for ENOENT, the value otherwise.
template <typename Read> Napi::Value read_value(const Args &args, const char *syscall, Read read) {
    const int fd = args.fd(0, "fd");
    const MapLayout map = layout_for_key(args, fd, args.bytes(1, "key").size());
    const Bytes key = args.bytes_of_size(1, "key", map.key_size);
    std::vector<uint8_t> value(map.value_size);
    if (read(map, key_pointer(map, key.data()), value.data()) == 0)
        return to_js(args.env(), value);
    const int error = errno;
    if (error == ENOENT)
        return args.env().Null();
    map_info_of(args, fd);
    throw ErrnoError(error, syscall);
}

// Kernels before 5.14 have no lookup-and-delete for hash maps (ENOTSUPP). Of several racing callers only the
// one whose delete succeeds gets the value; a value written between the two calls is lost, which the atomic
// form would return.
int look_up_then_delete(int fd, const void *key, void *value) {
    const int error = bpf_map_lookup_elem(fd, key, value);
    return error != 0 ? error : bpf_map_delete_elem(fd, key);
}

} // namespace

MapLayout map_layout(const Args &args, int fd) {
    return layout_of(fd, map_info_of(args, fd));
}

Napi::Value open_map(const Args &args) {
    const uint32_t id = args.u32(0, "id");
    return hand_out(args.env(), UniqueFd(check(bpf_map_get_fd_by_id(id), "bpf(BPF_MAP_GET_FD_BY_ID)",
                                               "map " + std::to_string(id))));
}

Napi::Value map_info(const Args &args) {
    return describe(args.env(), map_info_of(args, args.fd(0, "fd")));
}

Napi::Value map_lookup(const Args &args) {
    return read_value(args, "bpf(BPF_MAP_LOOKUP_ELEM)",
                      [](const MapLayout &map, const void *key, void *value) {
                          return bpf_map_lookup_elem(map.fd, key, value);
                      });
}

Napi::Value map_lookup_and_delete(const Args &args) {
    return read_value(args, "bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM)",
                      [](const MapLayout &map, const void *key, void *value) {
                          const int error = bpf_map_lookup_and_delete_elem(map.fd, key, value);
                          if (error == 0 || errno != kernel_enotsupp)
                              return error;
                          return look_up_then_delete(map.fd, key, value);
                      });
}

Napi::Value map_update(const Args &args) {
    const MapLayout map = map_layout(args, args.fd(0, "fd"));
    const Bytes key = args.bytes_of_size(1, "key", map.key_size);
    const Bytes value = args.bytes_of_size(2, "value", map.value_size);
    const uint32_t flags = args.u32(3, "flags");
    check(bpf_map_update_elem(map.fd, key_pointer(map, key.data()), value.data(), flags),
          "bpf(BPF_MAP_UPDATE_ELEM)");
    return args.env().Undefined();
}

Napi::Value map_delete(const Args &args) {
    const MapLayout map = map_layout(args, args.fd(0, "fd"));
    const Bytes key = args.bytes_of_size(1, "key", map.key_size);
    const bool deleted = bpf_map_delete_elem(map.fd, key_pointer(map, key.data())) == 0;
    if (!deleted && errno != ENOENT)
        throw ErrnoError(errno, "bpf(BPF_MAP_DELETE_ELEM)");
    return Napi::Boolean::New(args.env(), deleted);
}

Napi::Value list_maps(const Args &args) {
    return list_kernel_objects(args.env(), {bpf_map_get_next_id, bpf_map_get_fd_by_id}, [&](int fd) {
        bpf_map_info info{};
        read_info(fd, info);
        return describe(args.env(), info);
    });
}

} // namespace mesh
