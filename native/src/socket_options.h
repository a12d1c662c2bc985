// What the kernel knows about a socket and Node does not tell.
#pragma once

#include "arg.h"

namespace mesh {

Napi::Value socket_cookie(const Args &args);
Napi::Value tcp_info_of(const Args &args);
Napi::Value peer_credentials(const Args &args);
Napi::Value socket_name(const Args &args);
Napi::Value socket_error(const Args &args);

} // namespace mesh
