#include "bpf_object.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "bpf_info.h"
#include "call.h"
#include "fd.h"
#include "libbpf_log.h"

namespace mesh {

namespace {

struct CloseObject {
    void operator()(bpf_object *object) const {
        bpf_object__close(object);
    }
};

// A variable's place in `.rodata`, from the object's BTF.
struct Placement {
    size_t offset;
    size_t size;
};

class Object {
  public:
    explicit Object(bpf_object *object) : object_(object) {}

    Napi::Value load(const Args &args);
    Napi::Value program_names(const Args &args);
    Napi::Value map_names(const Args &args);
    Napi::Value set_max_entries(const Args &args);
    Napi::Value reuse_map(const Args &args);
    Napi::Value set_rodata(const Args &args);
    Napi::Value set_autoload(const Args &args);
    Napi::Value program_fd(const Args &args);
    Napi::Value map_fd(const Args &args);
    Napi::Value verifier_log(const Args &args);
    Napi::Value close(const Args &args);

  private:
    bpf_object *open(const Args &args) const;
    bpf_object *unloaded(const Args &args) const;
    bpf_map *map(const Args &args) const;
    bpf_program *program(const Args &args) const;
    bpf_map *rodata_map(const Args &args) const;
    Placement place_of(const Args &args, const std::string &variable) const;

    std::unique_ptr<bpf_object, CloseObject> object_; // empty once closed
    // libbpf cannot load an object twice, nor retry: one attempt each.
    bool load_tried_ = false;
    std::string verifier_log_;
};

bpf_object *Object::open(const Args &args) const {
    if (object_ == nullptr)
        args.reject("the object is closed");
    return object_.get();
}

bpf_object *Object::unloaded(const Args &args) const {
    if (load_tried_)
        args.reject("must be called before load()");
    return open(args);
}

bpf_map *Object::map(const Args &args) const {
    const std::string name = args.name(0, "map");
    bpf_map *map = bpf_object__find_map_by_name(open(args), name.c_str());
    if (map == nullptr)
        throw ErrnoError(ENOENT, args.function(), "the object has no map " + name);
    return map;
}

bpf_program *Object::program(const Args &args) const {
    const std::string name = args.name(0, "program");
    bpf_program *program = bpf_object__find_program_by_name(open(args), name.c_str());
    if (program == nullptr)
        throw ErrnoError(ENOENT, args.function(), "the object has no program " + name);
    return program;
}

Napi::Value Object::load(const Args &args) {
    bpf_object *object = unloaded(args);
    load_tried_ = true;
    LibbpfLog log;
    const int error = -bpf_object__load(object);
    if (error == 0)
        return args.env().Undefined();
    verifier_log_ = log.verifier_log();
    throw ErrnoError(error, "bpf_object__load", log.summary());
}

template <typename Item> Napi::Array names_of(Napi::Env env, const std::vector<Item> &items) {
    Napi::Array names = Napi::Array::New(env, items.size());
    for (uint32_t i = 0; i < items.size(); i++)
        names.Set(i, items[i]);
    return names;
}

Napi::Value Object::program_names(const Args &args) {
    std::vector<const char *> names;
    bpf_program *program = nullptr;
    bpf_object__for_each_program(program, open(args)) names.push_back(bpf_program__name(program));
    return names_of(args.env(), names);
}

Napi::Value Object::map_names(const Args &args) {
    std::vector<const char *> names;
    bpf_map *map = nullptr;
    bpf_object__for_each_map(map, open(args)) names.push_back(bpf_map__name(map));
    return names_of(args.env(), names);
}

Napi::Value Object::set_max_entries(const Args &args) {
    unloaded(args);
    bpf_map *map = this->map(args);
    const uint32_t max_entries = args.u32(1, "maxEntries");
    const int error = -bpf_map__set_max_entries(map, max_entries);
    if (error != 0)
        throw ErrnoError(error, "bpf_map__set_max_entries", bpf_map__name(map));
    return args.env().Undefined();
}

// libbpf would take over the other map's layout without a word, and the programs would misread it.
void expect_same_layout(const Args &args, const bpf_map *wanted, const bpf_map_info &found) {
    const auto differ = [&](const char *what, uint32_t want, uint32_t is) {
        if (want == is)
            return;
        throw ErrnoError(EINVAL, args.function(),
                         std::string(bpf_map__name(wanted)) + ": " + what + " is " + std::to_string(is) +
                             ", the object wants " + std::to_string(want));
    };
    differ("type", bpf_map__type(wanted), found.type);
    differ("key size", bpf_map__key_size(wanted), found.key_size);
    differ("value size", bpf_map__value_size(wanted), found.value_size);
    differ("flags", bpf_map__map_flags(wanted), found.map_flags);
}

Napi::Value Object::reuse_map(const Args &args) {
    unloaded(args);
    bpf_map *map = this->map(args);
    const int fd = args.fd(1, "fd");
    expect_same_layout(args, map, map_info_of(args, fd));
    LibbpfLog log;
    const int error = -bpf_map__reuse_fd(map, fd);
    if (error != 0)
        throw ErrnoError(error, "bpf_map__reuse_fd", log.summary());
    return args.env().Undefined();
}

bpf_map *Object::rodata_map(const Args &args) const {
    bpf_map *map = nullptr;
    bpf_object__for_each_map(map, unloaded(args)) {
        const std::string_view name = bpf_map__name(map);
        if (bpf_map__is_internal(map) && name.ends_with(".rodata"))
            return map;
    }
    throw ErrnoError(ENOENT, args.function(), "the object has no .rodata");
}

Placement Object::place_of(const Args &args, const std::string &variable) const {
    const btf *types = bpf_object__btf(open(args));
    const int section_id =
        types == nullptr ? -ENOENT : btf__find_by_name_kind(types, ".rodata", BTF_KIND_DATASEC);
    if (section_id < 0)
        throw ErrnoError(ENOENT, args.function(), "the object has no BTF for .rodata");
    const btf_type *section = btf__type_by_id(types, static_cast<uint32_t>(section_id));
    const btf_var_secinfo *first = btf_var_secinfos(section);
    const btf_var_secinfo *last = first + btf_vlen(section);
    const btf_var_secinfo *found = std::find_if(first, last, [&](const btf_var_secinfo &info) {
        return variable == btf__name_by_offset(types, btf__type_by_id(types, info.type)->name_off);
    });
    if (found == last)
        throw ErrnoError(ENOENT, args.function(), ".rodata has no variable " + variable);
    return {found->offset, found->size};
}

Napi::Value Object::set_rodata(const Args &args) {
    bpf_map *map = rodata_map(args);
    const Placement place = place_of(args, args.name(0, "variable"));
    const Bytes value = args.bytes_of_size(1, "value", place.size);
    size_t size = 0;
    const auto *initial = static_cast<const uint8_t *>(bpf_map__initial_value(map, &size));
    if (initial == nullptr || place.offset + place.size > size) {
        throw ErrnoError(EINVAL, args.function(), ".rodata is smaller than its BTF says");
    }
    std::vector<uint8_t> contents(initial, initial + size);
    std::copy(value.begin(), value.end(), contents.begin() + static_cast<ptrdiff_t>(place.offset));
    const int error = -bpf_map__set_initial_value(map, contents.data(), size);
    if (error != 0)
        throw ErrnoError(error, "bpf_map__set_initial_value");
    return args.env().Undefined();
}

Napi::Value Object::set_autoload(const Args &args) {
    unloaded(args);
    bpf_program *program = this->program(args);
    const int error = -bpf_program__set_autoload(program, args.flag(1, "autoload"));
    if (error != 0)
        throw ErrnoError(error, "bpf_program__set_autoload");
    return args.env().Undefined();
}

Napi::Value Object::program_fd(const Args &args) {
    const int fd = bpf_program__fd(program(args));
    if (fd < 0)
        throw ErrnoError(ENOENT, args.function(), "the program is not loaded");
    return hand_out(args.env(), duplicate(fd));
}

Napi::Value Object::map_fd(const Args &args) {
    const int fd = bpf_map__fd(map(args));
    if (fd < 0)
        throw ErrnoError(ENOENT, args.function(), "the map is not created");
    return hand_out(args.env(), duplicate(fd));
}

Napi::Value Object::verifier_log(const Args &args) {
    return Napi::String::New(args.env(), verifier_log_);
}

Napi::Value Object::close(const Args &args) {
    object_.reset();
    return args.env().Undefined();
}

} // namespace

Napi::Value open_object(const Args &args) {
    const std::string path = args.path(0, "path");
    LibbpfLog log;
    bpf_object *opened = bpf_object__open_file(path.c_str(), nullptr);
    if (opened == nullptr)
        throw ErrnoError(errno, "bpf_object__open_file", path + ": " + log.summary());
    const auto object = std::make_shared<Object>(opened);

    Napi::Object handle = Napi::Object::New(args.env());
    add_method(handle, object, "load", &Object::load);
    add_method(handle, object, "programNames", &Object::program_names);
    add_method(handle, object, "mapNames", &Object::map_names);
    add_method(handle, object, "setMaxEntries", &Object::set_max_entries);
    add_method(handle, object, "reuseMap", &Object::reuse_map);
    add_method(handle, object, "setRodata", &Object::set_rodata);
    add_method(handle, object, "setAutoload", &Object::set_autoload);
    add_method(handle, object, "programFd", &Object::program_fd);
    add_method(handle, object, "mapFd", &Object::map_fd);
    add_method(handle, object, "verifierLog", &Object::verifier_log);
    add_method(handle, object, "close", &Object::close);
    return handle;
}

} // namespace mesh
