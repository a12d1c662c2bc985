// Routing and sysctls of another network namespace, on the netns thread: what `ip rule`, `ip route` and
// `sysctl -w` would do, without three processes a pod.
#pragma once

#include "arg.h"

namespace mesh {

Napi::Value create_loopback_netns(const Args &args);
Napi::Value add_mark_route(const Args &args);
Napi::Value remove_mark_route(const Args &args);
Napi::Value write_in_netns(const Args &args);

} // namespace mesh
