// What the data path does with every TCP socket, in as few calls as the kernel lets it.
#pragma once

#include "arg.h"

namespace mesh {

Napi::Value tune_socket(const Args &args);
Napi::Value connect_socket(const Args &args);

} // namespace mesh
