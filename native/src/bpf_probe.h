// What this kernel can do, found by trying it: version numbers lie where distributions backport.
#pragma once

#include "arg.h"

namespace mesh {

Napi::Value probe_helper(const Args &args);
Napi::Value probe_map_type(const Args &args);
Napi::Value probe_program_type(const Args &args);

} // namespace mesh
