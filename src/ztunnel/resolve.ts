/**
 * Outbound: from the address an application dialled to the routes worth trying, in order. A Service is balanced
 * over its endpoints; a workload in the mesh is reached through HBONE; everything else goes straight through.
 */
import { MeshError } from '../base/errors.ts';
import { formatSocketAddress, type SocketAddress } from '../base/ip.ts';
import { hbonePort, meshPorts } from '../base/ports.ts';
import type { Service } from '../model/mesh.ts';
import type { MeshView } from '../model/view.ts';
import type { HboneRoute, Route } from '../net/engine.ts';
import { targetOf, usableEndpoints, vantageOf } from './endpoint-choice.ts';
import { type Facts, peerAt, refuse, type Step } from './facts.ts';
import { newTraceId, requestHeaders } from './headers.ts';
import type { SessionAffinity } from './session-affinity.ts';

/** Endpoints tried for one connection, before any byte has moved. */
const maxAttempts = 3;

export interface Balance {
  /** Picks among equal endpoints: a number in [0, 1). */
  readonly random: () => number;
  readonly affinity: SessionAffinity;
}

export const resolveDestination =
  (balance: Balance): Step =>
  (facts) => {
    const dialled = facts.originalDestination;
    const service = facts.view.serviceByVip(dialled.ip);
    if (service !== undefined) return resolveService(facts, service, balance);
    return withRoutes(facts, [dialled], undefined);
  };

function resolveService(facts: Facts, service: Service, balance: Balance): ReturnType<Step> {
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
  const targets = pickEndpoints(facts, service, balance);
  if (targets.length === 0) {
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
  return withRoutes(named, targets, service);
}

const whereOf = ({ nodeLocal }: Service, { source }: Facts): string =>
  nodeLocal === true ? ` on node ${source.workload?.node} (internalTrafficPolicy: Local)` : '';

/** In the order in which to try them; the first is the one of the client's session, if the Service has sessions. */
function pickEndpoints(
  { view, source, originalDestination }: Facts,
  service: Service,
  { random, affinity }: Balance,
): readonly SocketAddress[] {
  if (source.workload === undefined) return [];
  const { port } = originalDestination;
  const usable = usableEndpoints(service, originalDestination, vantageOf(view, source.workload))
    .map((endpoint) => targetOf(endpoint, port))
    .filter((target) => target !== undefined);
  const picked = sample(usable, maxAttempts, random);
  if (service.affinityTimeoutMs === undefined) return picked;
  const session = { client: source.address.ip, service: service.key, port };
  const first = affinity.endpointFor(session, usable, service.affinityTimeoutMs);
  if (first === undefined) return [];
  return [first, ...picked.filter((other) => other !== first)].slice(0, maxAttempts);
}

/** `count` different items in random order (partial Fisher-Yates): cost ∝ count after one copy. */
function sample<T>(items: readonly T[], count: number, random: () => number): T[] {
  const pool = [...items];
  const picked: T[] = [];
  while (picked.length < count && pool.length > 0) {
    const at = Math.floor(random() * pool.length);
    picked.push(...pool.splice(at, 1));
  }
  return picked;
}

function withRoutes(
  facts: Facts,
  targets: readonly SocketAddress[],
  service: Service | undefined,
): ReturnType<Step> {
  const [first] = targets;
  const loop = targets.find((target) => isCallToTheMesh(facts.view, target));
  if (first === undefined || loop !== undefined) {
    return refuse(
      facts,
      'resolve',
      new MeshError(
        'RECURSIVE_CALL',
        `${formatSocketAddress(loop ?? facts.originalDestination)} is a port of the mesh itself`,
      ),
    );
  }
  const traceId = newTraceId();
  const routes = targets.map((target) => routeTo(facts, target, service, traceId));
  const [route] = routes;
  return {
    ...facts,
    routes,
    destination: peerAt(facts.view, first),
    path: route?.type === 'hbone' ? 'tunnel' : 'direct',
    hboneAddress: route?.type === 'hbone' ? route.via : undefined,
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
