// Sockets, and facts only a socket can learn, in another network namespace. All but netnsId run on the netns
// thread.
#pragma once

#include "arg.h"

namespace mesh {

Napi::Value create_socket(const Args &args);
Napi::Value create_sockets(const Args &args);
Napi::Value netns_cookie(const Args &args);
Napi::Value probe_connect(const Args &args);
Napi::Value netns_addresses(const Args &args);
Napi::Value netns_id(const Args &args);

} // namespace mesh
