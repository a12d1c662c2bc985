// Ending other processes' TCP connections, as `ss -K` does (sock_diag(7), SOCK_DESTROY).
#pragma once

#include "arg.h"

namespace mesh {

Napi::Value destroy_sockets(const Args &args);
Napi::Value probe_socket_destroy(const Args &args);
Napi::Value tcp_sockets(const Args &args);

} // namespace mesh
