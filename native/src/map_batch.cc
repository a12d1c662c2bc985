#include "map_batch.h"

#include <bpf/bpf.h>

#include <string>
#include <unordered_set>
#include <vector>

#include "map_layout.h"
#include "napi_bytes.h"

namespace mesh {

namespace {

// Entries per system call of a dump; doubled when one bucket of a hash map holds more.
constexpr uint32_t dump_chunk = 1024;

// What the bpf() batch commands answer for map types without them; a kernel before 5.6 does not know the
// commands.
bool lacks_batch(int error) {
    return error == kernel_enotsupp || error == EOPNOTSUPP || error == EINVAL;
}

struct Entries {
    std::vector<uint8_t> keys;
    std::vector<uint8_t> values;
    uint32_t count = 0;
};

std::string progress(size_t done, size_t count) {
    return std::to_string(done) + " of " + std::to_string(count) + " entries were done";
}

void update_one_by_one(const MapLayout &map, const uint8_t *keys, const uint8_t *values, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        check(bpf_map_update_elem(map.fd, key_pointer(map, keys + i * map.key_size),
                                  values + i * map.value_size, BPF_ANY),
              "bpf(BPF_MAP_UPDATE_ELEM)", progress(i, count));
    }
}

bool delete_one(const MapLayout &map, const uint8_t *key) {
    if (bpf_map_delete_elem(map.fd, key_pointer(map, key)) == 0)
        return true;
    if (errno != ENOENT)
        throw ErrnoError(errno, "bpf(BPF_MAP_DELETE_ELEM)");
    return false;
}

uint32_t delete_one_by_one(const MapLayout &map, const uint8_t *keys, uint32_t count) {
    uint32_t deleted = 0;
    for (uint32_t i = 0; i < count; i++)
        deleted += delete_one(map, keys + i * map.key_size) ? 1 : 0;
    return deleted;
}

// The kernel stops a batch at the first key that is not there: step over it and go on.
uint32_t delete_in_batches(const MapLayout &map, const uint8_t *keys, uint32_t count) {
    uint32_t deleted = 0;
    for (uint32_t position = 0; position < count;) {
        uint32_t done = count - position;
        const int result = bpf_map_delete_batch(map.fd, keys + position * map.key_size, &done, nullptr);
        const int error = result == 0 ? 0 : errno;
        if (lacks_batch(error)) {
            return deleted + delete_one_by_one(map, keys + position * map.key_size, count - position);
        }
        if (error != 0 && error != ENOENT)
            throw ErrnoError(error, "bpf(BPF_MAP_DELETE_BATCH)", progress(position, count));
        deleted += done;
        position += done + (error == ENOENT ? 1 : 0);
    }
    return deleted;
}

void append(Entries &entries, const MapLayout &map, const uint8_t *key, const uint8_t *value) {
    entries.keys.insert(entries.keys.end(), key, key + map.key_size);
    entries.values.insert(entries.values.end(), value, value + map.value_size);
    entries.count++;
}

// Deleting a key while it is the cursor makes the kernel start over, so keys seen before are left out, and
// the walk ends after as many steps as four full maps would take.
Entries dump_one_by_one(const MapLayout &map) {
    Entries entries;
    std::unordered_set<std::string> seen;
    std::vector<uint8_t> key(map.key_size), next(map.key_size), value(map.value_size);
    const void *cursor = nullptr;
    for (uint64_t steps = 4ULL * map.max_entries + 16; steps > 0; steps--) {
        if (bpf_map_get_next_key(map.fd, cursor, next.data()) != 0) {
            if (errno == ENOENT)
                return entries;
            throw ErrnoError(errno, "bpf(BPF_MAP_GET_NEXT_KEY)");
        }
        key = next;
        cursor = key.data();
        if (!seen.emplace(key.begin(), key.end()).second)
            continue;
        if (bpf_map_lookup_elem(map.fd, key.data(), value.data()) == 0) {
            append(entries, map, key.data(), value.data());
        } else if (errno != ENOENT) {
            throw ErrnoError(errno, "bpf(BPF_MAP_LOOKUP_ELEM)");
        }
    }
    return entries;
}

// Room for one more chunk at the end of `entries`; cut back to what arrived by `settle`.
void make_room(Entries &entries, const MapLayout &map, uint32_t chunk) {
    entries.keys.resize((entries.count + size_t{chunk}) * map.key_size);
    entries.values.resize((entries.count + size_t{chunk}) * map.value_size);
}

void settle(Entries &entries, const MapLayout &map, uint32_t arrived) {
    entries.count += arrived;
    make_room(entries, map, 0);
}

Entries dump_in_batches(const MapLayout &map) {
    Entries entries;
    // The cursor is opaque: a bucket number for hash maps, a key for the others.
    std::vector<uint8_t> cursor(std::max(map.key_size, sizeof(uint64_t)));
    uint32_t chunk = dump_chunk;
    for (bool first = true;;) {
        make_room(entries, map, chunk);
        uint32_t arrived = chunk;
        const int result =
            bpf_map_lookup_batch(map.fd, first ? nullptr : cursor.data(), cursor.data(),
                                 entries.keys.data() + entries.count * map.key_size,
                                 entries.values.data() + entries.count * map.value_size, &arrived, nullptr);
        const int error = result == 0 ? 0 : errno;
        if (first && lacks_batch(error))
            return dump_one_by_one(map);
        if (error == ENOSPC) {
            chunk *= 2; // nothing arrived, and the cursor did not move
            continue;
        }
        if (error != 0 && error != ENOENT)
            throw ErrnoError(error, "bpf(BPF_MAP_LOOKUP_BATCH)");
        settle(entries, map, arrived);
        if (error == ENOENT)
            return entries;
        first = false;
    }
}

} // namespace

Napi::Value map_update_batch(const Args &args) {
    const MapLayout map = map_layout(args, args.fd(0, "fd"));
    const uint32_t count = args.u32(3, "count");
    const Bytes keys = args.bytes_of_size(1, "keys", count * map.key_size);
    const Bytes values = args.bytes_of_size(2, "values", count * map.value_size);
    uint32_t done = count;
    if (count == 0 || bpf_map_update_batch(map.fd, keys.data(), values.data(), &done, nullptr) == 0) {
        return args.env().Undefined();
    }
    const int error = errno;
    if (!lacks_batch(error))
        throw ErrnoError(error, "bpf(BPF_MAP_UPDATE_BATCH)", progress(done, count));
    update_one_by_one(map, keys.data(), values.data(), count);
    return args.env().Undefined();
}

Napi::Value map_delete_batch(const Args &args) {
    const MapLayout map = map_layout(args, args.fd(0, "fd"));
    const uint32_t count = args.u32(2, "count");
    const Bytes keys = args.bytes_of_size(1, "keys", count * map.key_size);
    return Napi::Number::New(args.env(), delete_in_batches(map, keys.data(), count));
}

Napi::Value map_dump(const Args &args) {
    const Entries entries = dump_in_batches(map_layout(args, args.fd(0, "fd")));
    Napi::Object result = Napi::Object::New(args.env());
    result.Set("keys", to_js(args.env(), entries.keys));
    result.Set("values", to_js(args.env(), entries.values));
    result.Set("count", entries.count);
    return result;
}

} // namespace mesh
