// The one failure of native code, and its one shape in JavaScript:
// `{ name: 'NativeError', code: 'ENOENT', errno: 2, syscall: 'open', hint: string | null }`.
// Thrown as a C++ exception anywhere below an exported function; `call.h` turns it into the JS error.
#pragma once

#include <napi.h>

#include <cerrno>
#include <exception>
#include <string>

namespace mesh {

// The kernel's own "operation not supported", which leaks to user space from bpf() and is in no libc table.
constexpr int kernel_enotsupp = 524;

class ErrnoError : public std::exception {
  public:
    // `error` is a positive errno, or 0 for a bad argument (code ERR_ARGUMENT, a bug of the caller).
    ErrnoError(int error, std::string syscall, std::string hint = {});

    int error() const {
        return error_;
    }
    const std::string &hint() const {
        return hint_;
    }
    const char *what() const noexcept override {
        return message_.c_str();
    }
    Napi::Error to_js(Napi::Env env) const;

  private:
    int error_;
    std::string syscall_;
    std::string hint_;
    std::string message_;
};

// Any exception as a JavaScript error: JS errors pass through, memory exhaustion becomes ENOMEM.
Napi::Error as_js_error(Napi::Env env, std::exception_ptr thrown);

// Result of a call that sets errno: the value, or a throw.
template <typename Result> Result check(Result result, const char *syscall, std::string hint = {}) {
    if (result < 0)
        throw ErrnoError(errno, syscall, std::move(hint));
    return result;
}

} // namespace mesh
