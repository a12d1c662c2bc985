/** Where nodes of this machine are found: admin sockets and pinned BPF objects, of a real node and of the lab. */
export interface Place {
  /** Directory that is the node itself (`*` absent), or holds one directory per node. */
  readonly directory: string;
  readonly each: boolean;
}

export const socketName = 'admin.sock';

const nodeDirectory = '/run/mesh-ebpf/node';

/** Of the node that this machine, or the container, is. */
export const nodeSocket = `${nodeDirectory}/${socketName}`;
export const nodePins = '/sys/fs/bpf/mesh-ebpf';

export const socketPlaces: readonly Place[] = [
  { directory: nodeDirectory, each: false },
  { directory: '/run/mesh-ebpf/lab/nodes', each: true },
];

export const pinPlaces: readonly Place[] = [
  { directory: nodePins, each: false },
  { directory: '/sys/fs/bpf/mesh-ebpf-lab', each: true },
];
