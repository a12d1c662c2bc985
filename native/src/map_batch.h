// Many map entries per call: one system call a batch where the kernel has it for the map's type, one an entry
// where not.
#pragma once

#include "arg.h"

namespace mesh {

Napi::Value map_update_batch(const Args &args);
Napi::Value map_delete_batch(const Args &args);
Napi::Value map_dump(const Args &args);

} // namespace mesh
