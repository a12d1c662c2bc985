// One BPF object file: opened, adjusted, loaded, asked for descriptors, closed. Attaching is `bpf_link.h`.
#pragma once

#include "arg.h"

namespace mesh {

Napi::Value open_object(const Args &args);

} // namespace mesh
