/**
 * The engine's `ConnectionDecider`: picks the list of steps for an arrival, runs it on one version of the mesh, and
 * turns the outcome into a decision with its accountant.
 */
import { asMeshError, MeshError } from '../base/errors.ts';
import type { IpAddress, Port, SocketAddress } from '../base/ip.ts';
import { isProbeAddress } from '../base/probe-address.ts';
import type { ConnectionFacts, ConnectionId } from '../model/connection.ts';
import type { WorkloadUid } from '../model/mesh.ts';
import type { MeshView } from '../model/view.ts';
import type { Arrival, ConnectionDecider, ConnectionObserver, Decision } from '../net/engine.ts';
import { Account, type AccountDeps, rejectedRecord } from './account.ts';
import type { Authorizer } from './authorize.ts';
import { type Facts, isRefusal, peerAt, type Refusal } from './facts.ts';
import { responseHeaders } from './headers.ts';
import { hboneFacts, inboundSteps } from './inbound.ts';
import { judgePlaintext, type KernelPathDoor } from './local.ts';
import { type Captured, type OriginalDestinationLookup, outboundFacts, outboundSteps } from './outbound.ts';
import { type Balance, furtherRoutes } from './resolve.ts';
import { SessionAffinity, type SessionsInKernel } from './session-affinity.ts';
import { Learning, type LearningDeps, Suspects } from './suspects.ts';

export interface DeciderDeps extends AccountDeps, Pick<LearningDeps, 'troubles'> {
  readonly originalDestination: OriginalDestinationLookup;
  readonly authorizer: Authorizer;
  readonly kernelPath: KernelPathDoor;
  readonly sessions: SessionsInKernel;
  readonly random: () => number;
  /** Told of a connection to a probe address, with its port: true if it is the agent's own question. */
  readonly probeArrived: (pod: WorkloadUid, port: Port) => boolean;
  /** Number of the first connection: beyond those that are remembered of an earlier process. */
  readonly firstSerial?: number;
}

interface Deps extends DeciderDeps {
  readonly suspects: Suspects;
  readonly balance: Balance;
}

function withMemory(given: DeciderDeps): Deps {
  const suspects = new Suspects(given.now);
  const isSuspect = (ip: IpAddress): boolean => suspects.has(ip);
  return {
    ...given,
    suspects,
    balance: {
      random: given.random,
      affinity: new SessionAffinity(given.now, given.sessions),
      isSuspect,
      kernelPath: given.kernelPath.scope,
    },
  };
}

export function createDecider(given: DeciderDeps): ConnectionDecider {
  const deps = withMemory(given);
  const nextId = connectionIds(given.firstSerial ?? 0);
  const inbound = inboundSteps(deps.authorizer);
  const capturedAs = (arrival: Arrival): Captured | undefined =>
    arrival.type === 'outbound' ? deps.originalDestination(arrival.client, arrival.local) : undefined;
  const isProbe = ({ pod }: Arrival, to: SocketAddress | undefined): boolean =>
    to !== undefined && isProbeAddress(to.ip) && deps.probeArrived(pod.uid, to.port);

  const judge = (view: MeshView, arrival: Arrival, captured: Captured | undefined): Facts | Refusal => {
    switch (arrival.type) {
      case 'outbound':
        return outboundSteps(captured, deps.balance)(outboundFacts(view, arrival, captured?.destination));
      case 'plaintext':
        return judgePlaintext(view, arrival, deps.kernelPath, inbound);
      case 'hbone':
        return inbound(hboneFacts(view, arrival));
    }
  };

  return {
    decide(arrival) {
      const { view } = deps.mesh;
      const id = nextId();
      try {
        const captured = capturedAs(arrival);
        if (isProbe(arrival, captured?.destination)) return answered;
        return decisionOn(id, judge(view, arrival, captured), deps);
      } catch (thrown) {
        const error = asMeshError(thrown);
        const hop = error.code === 'BAD_CONNECT' ? 'h2' : 'capture';
        return decisionOn(id, { facts: bareFacts(view, arrival), refused: { hop, error } }, deps);
      }
    },
    rejected(arrival, failure) {
      const facts = arrivalFacts(deps.mesh.view, arrival);
      deps.ledger.completed(rejectedRecord(nextId(), facts, failure, deps.now()));
    },
  };
}

/** To a question of the agent's: its connection has done its work by arriving, and is nobody else's concern. */
const answered: Decision = {
  type: 'refuse',
  hop: 'capture',
  error: new MeshError('RECURSIVE_CALL', 'the agent asked whether its connections are captured'),
  observer: { established() {}, routeFailed() {}, routeSlow() {}, finished() {} },
};

function decisionOn(id: ConnectionId, result: Facts | Refusal, deps: Deps): Decision {
  if (isRefusal(result)) {
    const { error } = result.refused;
    return { type: 'refuse', error, hop: result.refused.hop, observer: new Account(id, result.facts, deps) };
  }
  const observer = new Account(id, result, deps);
  return result.direction === 'inbound'
    ? inboundDecision(result, observer)
    : outboundDecision(result, observer, deps);
}

function inboundDecision({ destination, view, routes }: Facts, observer: ConnectionObserver): Decision {
  const { workload } = destination;
  const headers =
    workload === undefined ? {} : { responseHeaders: responseHeaders(workload, view.config.clusterId) };
  return { type: 'forward', routes, observer, ...headers };
}

/** Another endpoint is chosen when it is needed, from what is known by then. */
const outboundDecision = (facts: Facts, observer: ConnectionObserver, deps: Deps): Decision => ({
  type: 'forward',
  routes: facts.routes,
  furtherRoute: furtherRoutes(facts, deps.mesh, deps.balance),
  observer: new Learning(deps, observer),
});

/** Facts for an arrival that could not even be described. */
const bareFacts = (view: MeshView, arrival: Arrival): Facts => ({
  ...arrivalFacts(view, arrival),
  view,
  routes: [],
});

function arrivalFacts(
  view: MeshView,
  { pod, client, local }: Pick<Arrival, 'pod' | 'client' | 'local'>,
): ConnectionFacts {
  return {
    direction: 'inbound',
    path: 'tunnel',
    source: peerAt(view, client),
    destination: { address: local, workload: view.workloads.get(pod.uid), identity: pod.identity },
    originalDestination: local,
    hboneAddress: undefined,
    service: undefined,
    verdict: undefined,
    traceId: undefined,
  };
}

/** Short ids that do not repeat as long as they are remembered: `c-0`, `c-1`, … in base 36. */
function connectionIds(first: number): () => ConnectionId {
  let next = first;
  return () => `c-${(next++).toString(36)}` as ConnectionId;
}
