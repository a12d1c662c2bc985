// A trial of what a sockhash does to the sockets that are put into it.
#pragma once

#include "arg.h"

namespace mesh {

Napi::Value try_sockhash(const Args &args);

} // namespace mesh
