// Descriptors handed to JavaScript. A process-wide table remembers each with the identity of its file, so
// that closing one twice, or one whose number means something else by now, is an error instead of an accident
// elsewhere.
#pragma once

#include <napi.h>

#include "arg.h"
#include "unique_fd.h"

namespace mesh {

// Gives the descriptor to JavaScript: from here on the caller closes it.
Napi::Value hand_out(Napi::Env env, UniqueFd fd);
// A duplicate, closed on exec.
UniqueFd duplicate(int fd);

Napi::Value open_path(const Args &args);
Napi::Value dup_fd(const Args &args);
Napi::Value close_fd(const Args &args);
Napi::Value try_lock(const Args &args);
Napi::Value adopt_fd(const Args &args);
Napi::Value open_fd_count(const Args &args);

} // namespace mesh
