/** What the application behind an accepted connection had dialled: the record `sockops` left, taken out once. */
import type { SocketAddress } from '../base/ip.ts';
import type { Drawn, Flow, FlowKey } from './abi/layout.ts';
import { dialledOf, flowKeyOf } from './kernel-path/kernel-path.ts';
import type { MapTable } from './map-table.ts';

export interface CapturedConnection {
  readonly destination: SocketAddress;
  /** The pod whose application dialled. */
  readonly podId: number;
  /** Which of a Service's endpoints the kernel drew. */
  readonly drawn: Drawn;
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
  const origin = flows.take(flowKeyOf(client, local))?.origin;
  if (origin?.kind !== 'captured') return undefined;
  const destination = dialledOf(origin);
  return destination && { destination, podId: origin.podId, drawn: origin.drawn };
}
