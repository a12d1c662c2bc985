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

inline Napi::Uint32Array to_js(Napi::Env env, std::span<const uint32_t> numbers) {
    Napi::Uint32Array array = Napi::Uint32Array::New(env, numbers.size());
    std::copy(numbers.begin(), numbers.end(), array.Data());
    return array;
}

} // namespace mesh
