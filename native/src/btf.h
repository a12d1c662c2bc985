// Struct layouts from the BTF of an object file, for comparing user-space codecs with what the programs were
// built with.
#pragma once

#include "arg.h"

namespace mesh {

Napi::Value btf_structs(const Args &args);

} // namespace mesh
