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

const labNodes = '/run/mesh-ebpf/lab/nodes';
const labPins = '/sys/fs/bpf/mesh-ebpf-lab';

export const socketPlaces: readonly Place[] = [
  { directory: nodeDirectory, each: false },
  { directory: labNodes, each: true },
];

export const pinPlaces: readonly Place[] = [
  { directory: nodePins, each: false },
  { directory: labPins, each: true },
];

/** Of the node program to which BPF objects belong that are pinned here; undefined: nobody's whose place is known. */
export function socketOfPins(pins: string): string | undefined {
  if (pins === nodePins) return nodeSocket;
  const node = pins.startsWith(`${labPins}/`) ? pins.slice(labPins.length + 1) : '';
  return node === '' || node.includes('/') ? undefined : `${labNodes}/${node}/${socketName}`;
}
