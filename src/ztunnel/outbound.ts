/**
 * A connection an application of this node opened: find out what it dialled, who it is, and where it goes.
 *
 *   capture → source → not a probe address → resolve → egress
 */
import { MeshError } from '../base/errors.ts';
import { formatSocketAddress, type SocketAddress } from '../base/ip.ts';
import { isProbeAddress } from '../base/probe-address.ts';
import type { CapturedConnection } from '../datapath/original-destination.ts';
import type { MeshView } from '../model/view.ts';
import type { OutboundArrival } from '../net/engine.ts';
import { enforceEgress } from './egress.ts';
import { type Facts, peerAt, pipeline, refuse, type Step } from './facts.ts';
import { type Balance, resolveDestination } from './resolve.ts';

/** Where a captured connection was going. */
export type Captured = Pick<CapturedConnection, 'destination' | 'drawn'>;

/** The kernel's record, which is used up by asking. */
export type OriginalDestinationLookup = (client: SocketAddress, local: SocketAddress) => Captured | undefined;

export function outboundFacts(
  view: MeshView,
  arrival: OutboundArrival,
  original: SocketAddress | undefined,
): Facts {
  const originalDestination = original ?? arrival.local;
  return {
    view,
    direction: 'outbound',
    path: 'direct',
    source: {
      address: arrival.client,
      workload: view.workloads.get(arrival.pod.uid),
      identity: arrival.pod.identity,
    },
    destination: peerAt(view, originalDestination),
    originalDestination,
    hboneAddress: undefined,
    service: undefined,
    verdict: undefined,
    traceId: undefined,
    routes: [],
  };
}

/** A connection without a kernel record was not captured but dialled to the capture port: refused. */
const requireCapture =
  (original: SocketAddress | undefined): Step =>
  (facts) =>
    original !== undefined
      ? facts
      : refuse(
          facts,
          'capture',
          new MeshError(
            'NO_ORIGINAL_DESTINATION',
            `nothing is known of a connection to ${formatSocketAddress(facts.originalDestination)}`,
            {
              hint: 'something dialled the capture port directly, or the flows map is full: mesh-ebpf maps list',
            },
          ),
        );

const requireSource: Step = (facts) =>
  facts.source.workload !== undefined
    ? facts
    : refuse(
        facts,
        'capture',
        new MeshError('UNKNOWN_SOURCE', 'the pod that dials is not in the mesh state (yet)'),
      );

/** What we dial there ourselves is captured: forwarding an application's connection would go on forever. */
const refuseProbeAddress: Step = (facts) =>
  isProbeAddress(facts.originalDestination.ip)
    ? refuse(
        facts,
        'capture',
        new MeshError(
          'RECURSIVE_CALL',
          `${facts.originalDestination.ip} is reserved for the mesh’s own questions`,
        ),
      )
    : facts;

/** What comes before anybody asks where it goes. */
export const admitOutbound: Step = pipeline(requireSource, refuseProbeAddress);

export const outboundSteps = (captured: Captured | undefined, balance: Balance): Step =>
  pipeline(
    requireCapture(captured?.destination),
    admitOutbound,
    resolveDestination(balance, captured?.drawn),
    enforceEgress,
  );
