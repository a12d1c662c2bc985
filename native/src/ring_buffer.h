// Delivery of a BPF ring buffer's records to JavaScript, on the event loop: libuv polls the buffer's epoll
// descriptor, so there is no thread, and a busy JS thread simply reads later (the kernel's side drops when
// the buffer is full).
#pragma once

#include "arg.h"

namespace mesh {

Napi::Value open_ring_buffer(const Args &args);

} // namespace mesh
