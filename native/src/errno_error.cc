#include "errno_error.h"

#include <bpf/libbpf.h>

#include <cstring>
#include <new>
#include <system_error>

namespace mesh {

namespace {

// libbpf's own numbers (a malformed object file, mostly) start here; libbpf_errno in libbpf.h.
bool is_libbpf_error(int error) {
    return error >= __LIBBPF_ERRNO__START;
}

std::string code_of(int error) {
    if (error == 0)
        return "ERR_ARGUMENT";
    if (error == kernel_enotsupp)
        return "ENOTSUPP";
    if (is_libbpf_error(error))
        return "ELIBBPF";
    const char *name = strerrorname_np(error);
    return name != nullptr ? name : std::string("E").append(std::to_string(error));
}

std::string text_of(int error) {
    if (error == kernel_enotsupp)
        return "Operation not supported by this kernel";
    if (is_libbpf_error(error)) {
        char text[128] = "";
        libbpf_strerror(error, text, sizeof(text));
        return text;
    }
    const char *text = strerrordesc_np(error);
    return text != nullptr ? text : "Unknown error";
}

std::string message_of(int error, const std::string &syscall, const std::string &hint) {
    if (error == 0)
        return syscall + ": " + hint;
    std::string message = syscall + ": " + text_of(error) + " (" + code_of(error) + ")";
    return hint.empty() ? message : message + "; " + hint;
}

} // namespace

ErrnoError::ErrnoError(int error, std::string syscall, std::string hint)
    : error_(error), syscall_(std::move(syscall)), hint_(std::move(hint)),
      message_(message_of(error_, syscall_, hint_)) {}

Napi::Error ErrnoError::to_js(Napi::Env env) const {
    Napi::Error js = Napi::Error::New(env, message_);
    js.Set("name", Napi::String::New(env, "NativeError"));
    js.Set("code", Napi::String::New(env, code_of(error_)));
    js.Set("errno", Napi::Number::New(env, error_));
    js.Set("syscall", Napi::String::New(env, syscall_));
    js.Set("hint", hint_.empty() ? env.Null() : Napi::String::New(env, hint_).As<Napi::Value>());
    return js;
}

Napi::Error as_js_error(Napi::Env env, std::exception_ptr thrown) {
    try {
        std::rethrow_exception(thrown);
    } catch (const ErrnoError &error) {
        return error.to_js(env);
    } catch (const Napi::Error &error) {
        return error;
    } catch (const std::bad_alloc &) {
        return ErrnoError(ENOMEM, "malloc").to_js(env);
    } catch (const std::system_error &error) {
        return ErrnoError(error.code().value(), "pthread_create").to_js(env);
    } catch (const std::exception &error) {
        return ErrnoError(EINVAL, "native", error.what()).to_js(env);
    }
}

} // namespace mesh
