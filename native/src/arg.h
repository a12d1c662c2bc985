// Arguments of one call from JavaScript, checked one by one: a wrong one throws ERR_ARGUMENT naming the
// function and the parameter. Nothing here coerces, and nothing keeps pointers into JavaScript memory beyond
// the call.
#pragma once

#include <napi.h>

#include <climits>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>

#include "errno_error.h"

namespace mesh {

using Bytes = std::span<const uint8_t>;

class Args {
  public:
    Args(const Napi::CallbackInfo &info, const char *function) : info_(info), function_(function) {}

    Napi::Env env() const {
        return info_.Env();
    }
    const char *function() const {
        return function_;
    }

    [[noreturn]] void reject(const std::string &reason) const {
        throw ErrnoError(0, function_, reason);
    }

    // An integer in [min, max]; JavaScript has no other whole-number type worth accepting here.
    int64_t integer(size_t index, const char *name, int64_t min, int64_t max) const {
        return integer_of(info_[index], name, min, max);
    }
    uint32_t u32(size_t index, const char *name) const {
        return static_cast<uint32_t>(integer(index, name, 0, UINT32_MAX));
    }
    int fd(size_t index, const char *name) const {
        return static_cast<int>(integer(index, name, 0, INT_MAX));
    }
    bool is_null(size_t index) const {
        return info_[index].IsNull();
    }
    bool flag(size_t index, const char *name) const {
        return flag_of(info_[index], name);
    }
    std::string path(size_t index, const char *name) const {
        return text_of(info_[index], name, PATH_MAX - 1);
    }
    // The name of a program, map or variable.
    std::string name(size_t index, const char *name) const {
        return text_of(info_[index], name, 255);
    }
    std::string text(size_t index, const char *name) const {
        return text_of(info_[index], name, 255);
    }

    Bytes bytes(size_t index, const char *name) const {
        void *data = nullptr;
        size_t length = 0;
        napi_typedarray_type type = napi_int8_array;
        const bool is_array =
            info_[index].IsTypedArray() &&
            napi_get_typedarray_info(env(), info_[index], &type, &length, &data, nullptr, nullptr) == napi_ok;
        if (!is_array || type != napi_uint8_array)
            reject(std::string(name) + " must be a Uint8Array");
        return {static_cast<const uint8_t *>(data), data == nullptr ? 0 : length};
    }
    // Bytes of exactly `size`; a detached array has none.
    Bytes bytes_of_size(size_t index, const char *name, size_t size) const {
        const Bytes bytes = this->bytes(index, name);
        if (bytes.size() != size) {
            reject(std::string(name) + " must be " + std::to_string(size) + " bytes, not " +
                   std::to_string(bytes.size()));
        }
        return bytes;
    }

    Napi::Value value(size_t index) const {
        return info_[index];
    }

    Napi::Function function(size_t index, const char *name) const {
        if (!info_[index].IsFunction())
            reject(std::string(name) + " must be a function");
        return info_[index].As<Napi::Function>();
    }
    Napi::Object object(size_t index, const char *name) const {
        if (!info_[index].IsObject())
            reject(std::string(name) + " must be an object");
        return info_[index].As<Napi::Object>();
    }

    // The same checks on values that are not parameters themselves, such as properties.
    int64_t integer_of(Napi::Value value, const char *name, int64_t min, int64_t max) const {
        const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : NAN;
        if (!(number >= static_cast<double>(min) && number <= static_cast<double>(max)) ||
            number != std::trunc(number)) {
            reject(std::string(name) + " must be an integer from " + std::to_string(min) + " to " +
                   std::to_string(max));
        }
        return static_cast<int64_t>(number);
    }
    bool flag_of(Napi::Value value, const char *name) const {
        if (!value.IsBoolean())
            reject(std::string(name) + " must be a boolean");
        return value.As<Napi::Boolean>().Value();
    }
    // Non-empty text of at most `max_bytes` UTF-8 bytes and without NUL, so that it is the same string in C.
    std::string text_of(Napi::Value value, const char *name, size_t max_bytes) const {
        size_t size = 0;
        if (!value.IsString())
            reject(std::string(name) + " must be a string");
        napi_get_value_string_utf8(env(), value, nullptr, 0, &size);
        if (size == 0 || size > max_bytes) {
            reject(std::string(name) + " must be 1 to " + std::to_string(max_bytes) + " bytes long");
        }
        std::string text = value.As<Napi::String>().Utf8Value();
        if (text.find('\0') != std::string::npos)
            reject(std::string(name) + " must not contain NUL");
        return text;
    }

  private:
    const Napi::CallbackInfo &info_;
    const char *function_;
};

} // namespace mesh
