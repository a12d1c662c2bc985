// Bytes on their way to JavaScript: always a copy, owned by the new Uint8Array.
#pragma once

#include <napi.h>

#include <algorithm>
#include <cstdint>
#include <span>

namespace mesh {

inline Napi::Uint8Array to_js(Napi::Env env, std::span<const uint8_t> bytes) {
    Napi::Uint8Array array = Napi::Uint8Array::New(env, bytes.size());
    std::copy(bytes.begin(), bytes.end(), array.Data());
    return array;
}

} // namespace mesh
