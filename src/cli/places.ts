/** Where nodes of this machine are found: admin sockets and pinned BPF objects, of a real node and of the lab. */
export interface Place {
  /** Directory that is the node itself (`*` absent), or holds one directory per node. */
  readonly directory: string;
  readonly each: boolean;
}

export const socketPlaces: readonly Place[] = [
  { directory: '/run/mesh-ebpf/node', each: false },
  { directory: '/run/mesh-ebpf/lab/nodes', each: true },
];

export const socketName = 'admin.sock';

export const pinPlaces: readonly Place[] = [
  { directory: '/sys/fs/bpf/mesh-ebpf', each: false },
  { directory: '/sys/fs/bpf/mesh-ebpf-lab', each: true },
];
