/** What the application behind an accepted connection had dialled: the record `sockops` left, taken out once. */
import type { Port, SocketAddress } from '../base/ip.ts';
import type { Flow, FlowKey } from './abi/layout.ts';
import type { MapTable } from './map-table.ts';

export interface CapturedConnection {
  readonly destination: SocketAddress;
  /** The pod whose application dialled. */
  readonly podId: number;
}

/**
 * @param client the accepted socket's remote end
 * @param local its local end, on the capture port
 * @returns undefined if that connection was not captured: it must be refused
 */
export function takeOriginalDestination(
  flows: Pick<MapTable<FlowKey, Flow>, 'take'>,
  client: SocketAddress,
  local: SocketAddress,
): CapturedConnection | undefined {
  const origin = flows.take({
    sourceIp: client.ip,
    sourcePort: client.port,
    destinationIp: local.ip,
    destinationPort: local.port,
  })?.origin;
  if (origin?.kind !== 'captured' || origin.originalIp === undefined) return undefined;
  // Port 0 cannot be dialled: connect() has refused it.
  const destination = { ip: origin.originalIp, port: origin.originalPort as Port };
  return { destination, podId: origin.podId };
}
