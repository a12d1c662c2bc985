// The export table, in the order of src/native/binding.ts; nothing else.
#include <napi.h>

#include "bpf_fs.h"
#include "bpf_link.h"
#include "bpf_map.h"
#include "bpf_object.h"
#include "bpf_probe.h"
#include "btf.h"
#include "call.h"
#include "fd.h"
#include "handing_over.h"
#include "libbpf_log.h"
#include "map_batch.h"
#include "netns_routing.h"
#include "netns_socket.h"
#include "netns_thread.h"
#include "ring_buffer.h"
#include "socket_diag.h"
#include "sockhash_trial.h"
#include "socket_options.h"
#include "tcp_socket.h"

namespace mesh {

Napi::Object init(Napi::Env env, Napi::Object exports) {
    capture_libbpf_printing();
    NetnsThread::install(env);
    export_function<open_object>(exports, "openObject");
    export_function<btf_structs>(exports, "btfStructs");
    export_function<pin>(exports, "pin");
    export_function<open_pinned>(exports, "openPinned");
    export_function<open_map>(exports, "openMap");
    export_function<map_info>(exports, "mapInfo");
    export_function<map_structs>(exports, "mapStructs");
    export_function<map_lookup>(exports, "mapLookup");
    export_function<map_lookup_and_delete>(exports, "mapLookupAndDelete");
    export_function<map_update>(exports, "mapUpdate");
    export_function<map_delete>(exports, "mapDelete");
    export_function<map_update_batch>(exports, "mapUpdateBatch");
    export_function<map_delete_batch>(exports, "mapDeleteBatch");
    export_function<map_dump>(exports, "mapDump");
    export_function<link_cgroup>(exports, "linkCgroup");
    export_function<link_netns>(exports, "linkNetns");
    export_function<link_update>(exports, "linkUpdate");
    export_function<link_detach>(exports, "linkDetach");
    export_function<link_info>(exports, "linkInfo");
    export_function<attach_to_map>(exports, "attachToMap");
    export_function<detach_from_map>(exports, "detachFromMap");
    export_function<attached_to_map>(exports, "attachedToMap");
    export_function<program_info>(exports, "programInfo");
    export_function<list_programs>(exports, "listPrograms");
    export_function<enable_run_stats>(exports, "enableRunStats");
    export_function<list_links>(exports, "listLinks");
    export_function<list_maps>(exports, "listMaps");
    export_function<open_ring_buffer>(exports, "openRingBuffer");
    export_function<probe_helper>(exports, "probeHelper");
    export_function<probe_map_type>(exports, "probeMapType");
    export_function<probe_program_type>(exports, "probeProgramType");
    export_async_function<create_socket>(exports, "createSocket");
    export_async_function<create_sockets>(exports, "createSockets");
    export_async_function<netns_cookie>(exports, "netnsCookie");
    export_async_function<probe_connect>(exports, "probeConnect");
    export_async_function<netns_addresses>(exports, "netnsAddresses");
    export_function<netns_id>(exports, "netnsId");
    export_async_function<create_loopback_netns>(exports, "createLoopbackNetns");
    export_async_function<add_mark_route>(exports, "addMarkRoute");
    export_async_function<remove_mark_route>(exports, "removeMarkRoute");
    export_async_function<write_in_netns>(exports, "writeInNetns");
    export_async_function<try_sockhash>(exports, "trySockhash");
    export_async_function<destroy_sockets>(exports, "destroySockets");
    export_function<probe_socket_destroy>(exports, "probeSocketDestroy");
    export_async_function<tcp_sockets>(exports, "tcpSockets");
    export_function<socket_cookie>(exports, "socketCookie");
    export_function<tcp_info_of>(exports, "tcpInfo");
    export_function<socket_error>(exports, "socketError");
    export_function<peer_credentials>(exports, "peerCredentials");
    export_function<socket_name>(exports, "socketName");
    export_function<tune_socket>(exports, "tuneSocket");
    export_function<connect_socket>(exports, "connectSocket");
    export_function<open_path>(exports, "openPath");
    export_function<dup_fd>(exports, "dup");
    export_function<close_fd>(exports, "closeFd");
    export_function<try_lock>(exports, "tryLock");
    export_function<adopt_fd>(exports, "adoptFd");
    export_function<open_fd_count>(exports, "openFdCount");
    export_function<send_message>(exports, "sendMessage");
    export_function<sealed_memory>(exports, "sealedMemory");
    return exports;
}

NODE_API_MODULE(mesh_ebpf, init)

} // namespace mesh
