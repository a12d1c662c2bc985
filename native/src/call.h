// How C++ functions become JavaScript ones: arguments wrapped in `Args`, every exception turned into the one
// JS error. A handle (an object of JS functions over a C++ object) is plain: each of its functions shares
// ownership of the C++ object, so neither a borrowed method nor a foreign `this` can reach freed or foreign
// memory.
#pragma once

#include <napi.h>

#include <memory>

#include "arg.h"
#include "errno_error.h"

namespace mesh {

using Callable = Napi::Value (*)(const Args &);

template <typename Body> Napi::Value guarded(Napi::Env env, Body body) {
    try {
        return body();
    } catch (...) {
        throw as_js_error(env, std::current_exception());
    }
}

template <Callable callable> Napi::Value trampoline(const Napi::CallbackInfo &info) {
    const Args args(info, static_cast<const char *>(info.Data()));
    return guarded(info.Env(), [&] { return callable(args); });
}

// For functions that return a promise: what they throw rejects it, so that callers have one way to fail.
template <Callable callable> Napi::Value async_trampoline(const Napi::CallbackInfo &info) {
    const Args args(info, static_cast<const char *>(info.Data()));
    try {
        return callable(args);
    } catch (...) {
        const auto deferred = Napi::Promise::Deferred::New(info.Env());
        deferred.Reject(as_js_error(info.Env(), std::current_exception()).Value());
        return deferred.Promise();
    }
}

// `name` must live as long as the process: it names the function in errors.
template <Callable callable> void export_function(Napi::Object exports, const char *name) {
    exports.Set(name,
                Napi::Function::New<trampoline<callable>>(exports.Env(), name, const_cast<char *>(name)));
}

template <Callable callable> void export_async_function(Napi::Object exports, const char *name) {
    exports.Set(
        name, Napi::Function::New<async_trampoline<callable>>(exports.Env(), name, const_cast<char *>(name)));
}

template <typename Handle>
void add_method(Napi::Object object, const std::shared_ptr<Handle> &handle, const char *name,
                Napi::Value (Handle::*method)(const Args &)) {
    auto call = [handle, name, method](const Napi::CallbackInfo &info) {
        const Args args(info, name);
        return guarded(info.Env(), [&] { return ((*handle).*method)(args); });
    };
    object.Set(name, Napi::Function::New(object.Env(), call, name));
}

} // namespace mesh
