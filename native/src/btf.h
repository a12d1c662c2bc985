// Struct layouts from BTF: of an object file, for comparing user-space codecs with what the programs were
// built with; of a map in the kernel, for reading what another version wrote.
#pragma once

#include "arg.h"

namespace mesh {

Napi::Value btf_structs(const Args &args);
Napi::Value map_structs(const Args &args);

} // namespace mesh
