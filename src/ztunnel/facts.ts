/**
 * What is known about one connection while it is being decided, and the shape of a step: a pure function that adds
 * to the facts or refuses. `inbound.ts` and `outbound.ts` are lists of steps; each step is a file of its own.
 */
import type { MeshError } from '../base/errors.ts';
import type { SocketAddress } from '../base/ip.ts';
import type { ConnectionFacts, ConnectionPeer, Hop } from '../model/connection.ts';
import type { Workload } from '../model/mesh.ts';
import type { MeshView } from '../model/view.ts';
import type { Route } from '../net/engine.ts';

export interface Facts extends ConnectionFacts {
  /** One version of the mesh for the whole decision. */
  readonly view: MeshView;
  /** In order of preference; empty until resolved. */
  readonly routes: readonly Route[];
}

/** What is still of interest of a decided connection. Not the mesh: a long connection would keep its old version alive. */
export type SettledFacts = Omit<Facts, 'view' | 'routes'>;

export function settle({ view: _view, routes: _routes, ...settled }: Facts): SettledFacts {
  return settled;
}

export interface Refusal {
  readonly refused: { readonly hop: Hop; readonly error: MeshError };
  readonly facts: Facts;
}

export type Step = (facts: Facts) => Facts | Refusal;

export const isRefusal = (result: Facts | Refusal): result is Refusal => 'refused' in result;

export const refuse = (facts: Facts, hop: Hop, error: MeshError): Refusal => ({
  facts,
  refused: { hop, error },
});

/** Steps one after the other; the first refusal ends it. */
export const pipeline =
  (...steps: readonly Step[]): Step =>
  (facts) => {
    let current = facts;
    for (const step of steps) {
      const result = step(current);
      if (isRefusal(result)) return result;
      current = result;
    }
    return current;
  };

/** A peer of which only the address is known, and the workload that has it. */
export const peerAt = (view: MeshView, address: SocketAddress): ConnectionPeer => ({
  address,
  workload: view.workloadByIp(address.ip),
  identity: undefined,
});

/** Of a connection within the node, whose kernel says what the application dialled: a pod, or a Service. */
export const dialledFacts = (
  view: MeshView,
  dialled: SocketAddress,
): Pick<ConnectionFacts, 'originalDestination' | 'service'> => ({
  originalDestination: dialled,
  service: view.serviceByVip(dialled.ip)?.key,
});

export const podPeer = (address: SocketAddress, workload: Workload): ConnectionPeer => ({
  address,
  workload,
  identity: workload.identity,
});
