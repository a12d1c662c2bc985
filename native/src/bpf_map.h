// Single-entry access to maps, and what the kernel knows about them. Many entries at once: `map_batch.h`.
#pragma once

#include "arg.h"

namespace mesh {

Napi::Value open_map(const Args &args);
Napi::Value map_info(const Args &args);
Napi::Value map_lookup(const Args &args);
Napi::Value map_lookup_and_delete(const Args &args);
Napi::Value map_update(const Args &args);
Napi::Value map_delete(const Args &args);
Napi::Value list_maps(const Args &args);

} // namespace mesh
