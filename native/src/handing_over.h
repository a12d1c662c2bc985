// What a process hands to another one that outlives it: messages with a descriptor, and memory that stays as
// it is.
#pragma once

#include "arg.h"

namespace mesh {

Napi::Value send_message(const Args &args);
Napi::Value sealed_memory(const Args &args);

} // namespace mesh
