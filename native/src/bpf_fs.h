// Pins in the BPF file system: names that keep maps, programs and links alive.
#pragma once

#include "arg.h"

namespace mesh {

Napi::Value pin(const Args &args);
Napi::Value open_pinned(const Args &args);

} // namespace mesh
