/** The kernel side’s counters, in their order. */

/** `enum mesh_counter`, in its order, each with what it counts since the programs were installed. */
export const counterHelp = {
  captured: 'connections of enrolled pods sent to ztunnel: the destination is in the mesh',
  capturedUnknown: 'connections of enrolled pods sent to ztunnel because the destinations map is incomplete',
  direct: 'connections of enrolled pods left alone: the destination is not in the mesh',
  refusedMeshPort: 'connections refused: a pod dialled one of its own mesh ports',
  refusedNoAddress: 'connections refused: the pod has no address of the family that capture needs',
  refusedNoMemory: 'connections refused: the kernel could not remember the original destination',
  flowsFull: 'connections that could not be recorded because the flows map is full',
  admittedOrigin: 'inbound connections passed to the application: the node or ztunnel made them',
  plaintext: 'inbound plaintext connections handed to ztunnel',
  droppedMeshPort: 'inbound connections dropped: aimed at a capture port without having been captured',
  droppedUnknown: 'inbound connections dropped: no enrolled pod has that address',
  droppedNoListener: 'inbound connections dropped: the pod has no plaintext listener',
  deniedEgress: 'connections and datagrams refused by a NamespaceAccess',
  denialsUntold: 'of those, the ones that were counted and not told: too many at a time',
  deniedConnecting:
    'UDP sockets that were not connected to where TCP is let through: resolvers do so to order addresses',
  kernel: 'connections of enrolled pods to pods of this node, left to the kernel path',
  admittedKernel: 'inbound connections passed to the application by a verdict, on the kernel path',
  kernelAsked: 'inbound connections on the kernel path without a verdict in force: ztunnel decides',
  droppedUnrecorded:
    'inbound connections on the kernel path dropped: their record did not fit into the flows map',
  refusedCrossing:
    'connections on the kernel path refused: two pods dialled each other from the ports they dialled',
  endedUntold: 'kernel-path connections that ended and are in no log: the agent did not read in time',
  refusedShare: 'connections on the kernel path refused: the pod has its share of the flows map already',
  kernelService: 'of the connections left to the kernel path, those to a Service',
  accelerated: 'kernel-path connections that were accelerated',
  accelerationFull: 'kernel-path connections left to TCP: the maps of accelerated ones are full',
  accelerationLate: 'ends of accelerated connections left to TCP: they sent before the other end was there',
  accelerationBulk: 'ends of accelerated connections that went over to TCP: they have sent too much',
  accelerationBroken: 'messages on accelerated connections refused: the other end has gone',
  acceleratedBytes: 'bytes that went from one socket to the other without TCP',
} as const;

export type CounterName = keyof typeof counterHelp;
export const counterNames = Object.keys(counterHelp) as readonly CounterName[];
