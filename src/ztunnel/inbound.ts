/**
 * A connection for an application of this node, through HBONE with a proved identity or as plaintext without one.
 *
 *   identify → authorize → address the application
 */
import { MeshError } from '../base/errors.ts';
import { formatSocketAddress, type SocketAddress } from '../base/ip.ts';
import type { ConnectionPeer } from '../model/connection.ts';
import { type ServiceKey, serviceKey } from '../model/mesh.ts';
import type { MeshView } from '../model/view.ts';
import type { EnginePod, HboneArrival, PlaintextArrival } from '../net/engine.ts';
import { addressApplication, targetOfAuthority } from './address-app.ts';
import { authorize, type Authorizer } from './authorize.ts';
import { type Facts, peerAt, pipeline, podPeer, refuse, type Step } from './facts.ts';
import { forwardedHost, traceIdOf } from './headers.ts';

const inboundDefaults = { direction: 'inbound', verdict: undefined, routes: [] } as const;

/** @throws MeshError BAD_CONNECT when `:authority` does not aim at this pod. */
export function hboneFacts(view: MeshView, arrival: HboneArrival): Facts {
  const target = targetOfAuthority(view, arrival.pod, arrival.authority, arrival.local);
  return {
    ...inboundDefaults,
    view,
    path: 'tunnel',
    source: provedPeer(view, arrival),
    destination: destinationPeer(view, arrival, target),
    originalDestination: target,
    hboneAddress: arrival.local,
    service: claimedService(view, arrival.headers, target),
    traceId: traceIdOf(arrival.headers),
  };
}

/** What matters of a plaintext connection, be it there or not. */
export type PlaintextEnds = Pick<PlaintextArrival, 'client' | 'local'> & {
  readonly pod: Pick<EnginePod, 'uid' | 'identity'>;
};

export function plaintextFacts(view: MeshView, arrival: PlaintextEnds): Facts {
  return {
    ...inboundDefaults,
    view,
    path: 'direct',
    source: peerAt(view, arrival.client),
    destination: destinationPeer(view, arrival, arrival.local),
    originalDestination: arrival.local,
    hboneAddress: undefined,
    service: undefined,
    traceId: undefined,
  };
}

/** The certificate says who it is; the address only says which of its pods, and only if they agree. */
function provedPeer(view: MeshView, { client, peerIdentity }: HboneArrival): ConnectionPeer {
  const workload = view.workloadByIp(client.ip);
  return {
    address: client,
    workload: workload?.identity === peerIdentity ? workload : undefined,
    identity: peerIdentity,
  };
}

function destinationPeer(
  view: MeshView,
  { pod }: Pick<PlaintextEnds, 'pod'>,
  target: SocketAddress,
): ConnectionPeer {
  const workload = view.workloads.get(pod.uid);
  return workload === undefined
    ? { address: target, workload: undefined, identity: pod.identity }
    : podPeer(target, workload);
}

/** What the client says it dialled, believed only if this pod serves it: a label for metrics, nothing more. */
function claimedService(
  view: MeshView,
  headers: ReadonlyMap<string, string>,
  target: SocketAddress,
): ServiceKey | undefined {
  const [name = '', namespace = ''] = forwardedHost(headers)?.split('.') ?? [];
  const key = serviceKey(namespace, name);
  return view.servicesOfEndpoint(target.ip).some((service) => service.key === key) ? key : undefined;
}

const requireDestination: Step = (facts) =>
  facts.destination.workload !== undefined
    ? facts
    : refuse(
        facts,
        'capture',
        new MeshError(
          'UNKNOWN_SOURCE',
          `the pod at ${formatSocketAddress(facts.destination.address)} is not in the mesh state (yet)`,
        ),
      );

export const inboundSteps = (authorizer: Authorizer): Step =>
  pipeline(requireDestination, authorize(authorizer), addressApplication);
