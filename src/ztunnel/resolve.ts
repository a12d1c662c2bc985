/**
 * Outbound: from the address an application dialled to the route worth trying, and to the next one when that fails. A
 * Service is balanced over its endpoints; a workload in the mesh is reached through HBONE; everything else goes straight
 * through.
 */
import { MeshError } from '../base/errors.ts';
import { formatSocketAddress, type IpAddress, isIpv4, type SocketAddress } from '../base/ip.ts';
import { hbonePort, meshPorts } from '../base/ports.ts';
import type { Drawn } from '../datapath/abi/layout.ts';
import { type KernelPathScope, takesKernelPath } from '../datapath/desired.ts';
import { isKernelTarget } from '../datapath/services/desired.ts';
import { type DialHistory, endpointsToTry, targetOf, vantageOf } from '../model/endpoint-choice.ts';
import type { Service } from '../model/mesh.ts';
import type { MeshReader, MeshView } from '../model/view.ts';
import type { HboneRoute, Route } from '../net/engine.ts';
import { egressDenial, withinEgress } from './egress.ts';
import { type Facts, peerAt, refuse, type Refusal, type Step } from './facts.ts';
import { newTraceId, requestHeaders } from './headers.ts';
import type { SessionAffinity, SessionKey } from './session-affinity.ts';

/** Endpoints tried for one connection, before any byte has moved. */
const maxAttempts = 5;

export interface Balance extends Pick<DialHistory, 'isSuspect'> {
  /** Picks among equal endpoints: a number in [0, 1). */
  readonly random: () => number;
  readonly affinity: SessionAffinity;
  /** Whose pods the kernel carries connections between; undefined: nobody's. */
  readonly kernelPath: KernelPathScope | undefined;
}

/** @param drawn which endpoint the kernel drew, and left to ztunnel */
export const resolveDestination =
  (balance: Balance, drawn: Drawn = 'nothing'): Step =>
  (facts) => {
    const found = candidates(facts, balance.isSuspect);
    return 'refused' in found ? found : withRoute(found, pick(asDrawn(found, drawn, balance), balance));
  };

/**
 * Those of the kind that the kernel drew: it has carried others' share already. All of them if there are none of that kind
 * (any more).
 */
function asDrawn(found: Candidates, drawn: Drawn, { kernelPath }: Balance): Candidates {
  // It has got sessions since, which count more.
  if (found.service?.affinityTimeoutMs !== undefined) return found;
  const { view, source } = found.facts;
  const kindOf = (target: SocketAddress): Drawn => {
    if (!isKernelTarget(view, target, kernelPath)) return 'other';
    return source.workload?.addresses.includes(target.ip) === true ? 'itself' : 'kernel';
  };
  const [first, ...others] = found.targets.filter((target) => kindOf(target) === drawn);
  return first === undefined ? found : { ...found, targets: [first, ...others] };
}

/** Where a connection may go: one of these, and which one is left to the balance. */
export interface Candidates {
  readonly facts: Facts;
  readonly service: Service | undefined;
  readonly targets: readonly [SocketAddress, ...SocketAddress[]];
}

export function candidates(facts: Facts, isSuspect: DialHistory['isSuspect']): Candidates | Refusal {
  const dialled = facts.originalDestination;
  const service = facts.view.serviceByVip(dialled.ip);
  return service === undefined
    ? { facts, service, targets: [dialled] }
    : candidatesOf(facts, service, { tried: untried, isSuspect });
}

/** Chooses, each time it is asked, another endpoint of the Service from the mesh as it is by then. */
export function furtherRoutes(facts: Facts, mesh: MeshReader, balance: Balance): () => Route | undefined {
  const { traceId = newTraceId() } = facts;
  const tried = new Set<IpAddress>(facts.routes.map(({ target }) => target.ip));
  return () => {
    const now = { ...facts, view: mesh.view };
    const service = facts.service === undefined ? undefined : now.view.services.get(facts.service);
    if (service === undefined || tried.size >= maxAttempts) return undefined;
    if (service.affinityTimeoutMs !== undefined) balance.affinity.doubt(sessionOf(now, service, balance));
    const target = pickOne(targetsOf(now, service, { tried, isSuspect: balance.isSuspect }), balance.random);
    if (target === undefined || isCallToTheMesh(now.view, target)) return undefined;
    tried.add(target.ip);
    const route = routeTo(now, target, service, traceId);
    return route.type === 'direct' && egressDenial(now) !== undefined ? undefined : route;
  };
}

function candidatesOf(facts: Facts, service: Service, history: DialHistory): Candidates | Refusal {
  const { port } = facts.originalDestination;
  const named = { ...facts, service: service.key };
  if (!service.ports.some((candidate) => candidate.port === port && candidate.protocol === 'tcp')) {
    const ports = service.ports.map((candidate) => candidate.port).join(', ');
    return refuse(
      named,
      'resolve',
      new MeshError('NO_HEALTHY_ENDPOINT', `service ${service.key} has no TCP port ${port}`, {
        hint: `its ports are: ${ports}`,
      }),
    );
  }
  const [first, ...others] = targetsOf(named, service, history);
  if (first === undefined) {
    return refuse(
      named,
      'resolve',
      new MeshError(
        'NO_HEALTHY_ENDPOINT',
        `service ${service.key} has no ready endpoint for port ${port}${whereOf(service, facts)}`,
        { hint: `see: mesh-ebpf services -n ${service.namespace}` },
      ),
    );
  }
  return { facts: named, service, targets: [first, ...others] };
}

const whereOf = ({ nodeLocal }: Service, { source }: Facts): string =>
  nodeLocal === true ? ` on node ${source.workload?.node} (internalTrafficPolicy: Local)` : '';

const untried: ReadonlySet<IpAddress> = new Set();

/** The one of the client's session, if the Service has sessions; else any. */
function pick({ facts, service, targets }: Candidates, balance: Balance): SocketAddress {
  const { random, affinity } = balance;
  const [first] = targets;
  if (service?.affinityTimeoutMs === undefined) return pickOne(targets, random) ?? first;
  return (
    affinity.endpointFor(sessionOf(facts, service, balance), targets, service.affinityTimeoutMs) ?? first
  );
}

/** A client is its first address of the family, whichever a socket is bound to: the connect hook knows no other. */
function sessionOf(
  { source, originalDestination: dialled }: Facts,
  { key }: Service,
  { kernelPath }: Pick<Balance, 'kernelPath'>,
): SessionKey {
  const { ip } = source.address;
  const client = source.workload?.addresses.find((own) => isIpv4(own) === isIpv4(ip)) ?? ip;
  return { client, service: key, dialled, byKernel: takesKernelPath(source.workload, kernelPath) };
}

function targetsOf(facts: Facts, service: Service, history: DialHistory): readonly SocketAddress[] {
  const { view, source, originalDestination } = facts;
  if (source.workload === undefined) return [];
  const targets = endpointsToTry(
    view,
    service,
    originalDestination,
    vantageOf(view, source.workload),
    history,
  ).map((endpoint) => targetOf(endpoint, originalDestination.port));
  return withinEgress(
    facts,
    targets.filter((target) => target !== undefined),
  );
}

const pickOne = <T>(items: readonly T[], random: () => number): T | undefined =>
  items[Math.floor(random() * items.length)];

/** The facts with the route to one of the candidates. */
export function withRoute(
  { facts, service }: Pick<Candidates, 'facts' | 'service'>,
  target: SocketAddress,
): Facts | Refusal {
  if (isCallToTheMesh(facts.view, target)) {
    return refuse(
      facts,
      'resolve',
      new MeshError('RECURSIVE_CALL', `${formatSocketAddress(target)} is a port of the mesh itself`),
    );
  }
  const traceId = newTraceId();
  const route = routeTo(facts, target, service, traceId);
  return {
    ...facts,
    routes: [route],
    destination: peerAt(facts.view, target),
    path: route.type === 'hbone' ? 'tunnel' : 'direct',
    hboneAddress: route.type === 'hbone' ? route.via : undefined,
    traceId,
  };
}

const isCallToTheMesh = (view: MeshView, target: SocketAddress): boolean =>
  meshPorts.has(target.port) && view.workloadByIp(target.ip)?.protocol === 'hbone';

function routeTo(facts: Facts, target: SocketAddress, service: Service | undefined, traceId: string): Route {
  const workload = facts.view.workloadByIp(target.ip);
  if (workload?.protocol !== 'hbone') return { type: 'direct', target, source: undefined };
  const route: HboneRoute = {
    type: 'hbone',
    via: { ip: target.ip, port: hbonePort },
    target,
    expectedIdentities: [workload.identity],
    headers: requestHeaders(
      facts.source.workload,
      facts.source.address,
      traceId,
      service?.hostname,
      facts.view.config.clusterId,
    ),
  };
  return route;
}
