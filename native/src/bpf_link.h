// Links (a program attached somewhere) and what the kernel knows about links and programs.
#pragma once

#include "arg.h"

namespace mesh {

Napi::Value link_cgroup(const Args &args);
Napi::Value link_netns(const Args &args);
Napi::Value link_update(const Args &args);
Napi::Value link_detach(const Args &args);
Napi::Value link_info(const Args &args);
Napi::Value attach_to_map(const Args &args);
Napi::Value detach_from_map(const Args &args);
Napi::Value attached_to_map(const Args &args);
Napi::Value program_info(const Args &args);
Napi::Value list_programs(const Args &args);
Napi::Value enable_run_stats(const Args &args);
Napi::Value list_links(const Args &args);

} // namespace mesh
