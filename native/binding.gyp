# The addon's build. Two configurations, both of `node-gyp` itself: Release (build/Release, what is shipped) and Debug
# (build/Debug, with the address and undefined-behaviour sanitizers; see sanitize.sh). README.md has the commands.
{
  'targets': [
    {
      'target_name': 'mesh_ebpf',
      'sources': [
        'src/addon.cc',
        'src/bpf_fs.cc',
        'src/bpf_info.cc',
        'src/bpf_link.cc',
        'src/bpf_map.cc',
        'src/bpf_object.cc',
        'src/bpf_probe.cc',
        'src/btf.cc',
        'src/errno_error.cc',
        'src/fd.cc',
        'src/handing_over.cc',
        'src/libbpf_log.cc',
        'src/map_batch.cc',
        'src/netns_routing.cc',
        'src/netns_socket.cc',
        'src/netns_thread.cc',
        'src/ring_buffer.cc',
        'src/socket_address.cc',
        'src/socket_diag.cc',
        'src/sockhash_trial.cc',
        'src/socket_options.cc',
        'src/tcp_socket.cc',
      ],
      'defines': [
        'NAPI_VERSION=9',
        'NODE_ADDON_API_CPP_EXCEPTIONS',
        'NODE_ADDON_API_DISABLE_DEPRECATED',
        # Without this, terminating a worker thread inside a call of ours aborts the process.
        'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
      ],
      # -isystem, because warnings are errors here and neither Node's nor node-addon-api's headers are ours.
      'cflags_cc': [
        '-isystem', '<(module_root_dir)/../node_modules/node-addon-api',
        '-isystem', '<(node_root_dir)/include/node',
        '-std=gnu++20', '-Wall', '-Wextra', '-Werror', '-Wunused-parameter', '-fvisibility=hidden',
      ],
      'cflags_cc!': ['-fno-exceptions', '-fno-rtti', '-Wno-unused-parameter'],
      'cflags!': ['-Wno-unused-parameter'],
      'libraries': ['-lbpf'],
      'configurations': {
        'Debug': {
          'cflags': ['-O1', '-fno-omit-frame-pointer', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'],
          'ldflags': ['-fsanitize=address,undefined'],
        },
      },
    },
  ],
}
