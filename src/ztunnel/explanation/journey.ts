/**
 * Where a connection may end, and what becomes of it there: found by taking it through the very steps that ztunnel takes
 * a real one through, at both ends, on one version of the mesh. Pure, but for trace ids that nobody sees.
 */
import { MeshError } from '../../base/errors.ts';
import { formatSocketAddress, type IpAddress, isIpv4, parseIp, type SocketAddress } from '../../base/ip.ts';
import { meshPorts, outboundPort } from '../../base/ports.ts';
import { type KernelPathScope, takesKernelPath } from '../../datapath/desired.ts';
import { choicesAt, isKernelTarget } from '../../datapath/services/desired.ts';
import type { Hop, Verdict } from '../../model/connection.ts';
import { targetOf, usableEndpoints, type Vantage, vantageOf } from '../../model/endpoint-choice.ts';
import type { SpiffeId } from '../../model/identity.ts';
import type { Endpoint, NodeName, Service, Workload } from '../../model/mesh.ts';
import type { MeshView } from '../../model/view.ts';
import type { EnginePod, HboneRoute, OutboundArrival } from '../../net/engine.ts';
import { egressVerdict } from '../../policy/egress.ts';
import type { ExplainedPath } from '../../telemetry/explanation-types.ts';
import { type Authorizer, denial } from '../authorize.ts';
import { enforceEgress } from '../egress.ts';
import { type Facts, isRefusal, type Refusal } from '../facts.ts';
import { hboneFacts, inboundSteps, plaintextFacts } from '../inbound.ts';
import { admitOutbound, outboundFacts } from '../outbound.ts';
import { candidates, withRoute } from '../resolve.ts';
import { type Capture, captureOf, type Dial, type EnrolmentLookup, isOwn } from './capture.ts';
import type { Source } from './parties.ts';

export interface JourneyDeps {
  readonly view: MeshView;
  readonly authorizer: Authorizer;
  readonly enrolment: EnrolmentLookup;
  /** Whose pods reach each other without ztunnel, as far as it is known here. */
  readonly kernelPath?: KernelPathScope | undefined;
  /** Why the source could not prove its identity now; undefined: it can, or that is not known here. */
  readonly certificateTrouble: (identity: SpiffeId) => MeshError | undefined;
}

/** Neither refused nor with a verdict: nobody of the mesh was asked. */
export interface Judgement {
  readonly verdict: Verdict | undefined;
  readonly refused: { readonly hop: Hop; readonly error: MeshError } | undefined;
}

/** One place where it may end. */
export interface Ending extends Judgement {
  readonly endpoint: SocketAddress;
  readonly workload: Workload | undefined;
  /** undefined: it does not get there. */
  readonly path: ExplainedPath | undefined;
  readonly why: string;
  readonly expects: readonly SpiffeId[];
  /** What the destination's ztunnel knows of it; undefined where none has a part in it. */
  readonly inbound: Facts | undefined;
}

export interface Journey {
  readonly capture: Capture;
  /** Of NamespaceAccess objects about leaving the mesh, where they are asked and have a say. */
  readonly egress: Verdict | undefined;
  readonly endings: readonly Ending[];
  /** Set if it ends before there is anywhere to go. */
  readonly stopped: Judgement | undefined;
}

export function travel(deps: JourneyDeps, dial: Dial): Journey {
  const capture = captureOf(deps.view, dial, deps.enrolment);
  switch (capture.kind) {
    case 'captured':
      return throughZtunnel(deps, dial, capture);
    case 'own':
      return ownJourney(dial, capture);
    case 'outside':
    case 'unmeshed':
      return aroundZtunnel(deps, dial, capture);
  }
}

const nothing = { egress: undefined, endings: [], stopped: undefined } as const;
const unasked: Judgement = { verdict: undefined, refused: undefined };

const failing = (hop: Hop, error: MeshError): Judgement => ({ verdict: undefined, refused: { hop, error } });

const judged = (result: Facts | Refusal): Judgement =>
  isRefusal(result)
    ? { verdict: result.facts.verdict, refused: result.refused }
    : { verdict: result.verdict, refused: undefined };

function throughZtunnel(deps: JourneyDeps, dial: Dial, capture: Capture): Journey {
  const facts = departing(deps.view, dial);
  if (facts === undefined) return { ...nothing, capture, stopped: failing('capture', noAddress(dial)) };
  const admitted = admitOutbound(facts);
  if (isRefusal(admitted)) return { ...nothing, capture, stopped: judged(admitted) };
  const found = candidates(admitted, () => false);
  if ('refused' in found) return { ...nothing, capture, stopped: judged(found) };
  const endings = found.targets.map((target) => {
    const routed = withRoute(found, target);
    return ending(deps, dial, target, isRefusal(routed) ? routed : enforceEgress(routed));
  });
  return { ...nothing, capture, egress: leavingVerdict(deps.view, found.service, dial), endings };
}

/** Asked only of a Service with endpoints outside of the mesh, as those inside are no matter of egress. */
function leavingVerdict(
  view: MeshView,
  service: Service | undefined,
  { source, dialled }: Dial,
): Verdict | undefined {
  const isInside = ({ address }: Endpoint): boolean => view.workloadByIp(address)?.protocol === 'hbone';
  if (source.type === 'address' || service === undefined || service.endpoints.every(isInside))
    return undefined;
  return egressVerdict(view, source.workload, { ...dialled, protocol: 'tcp' });
}

/** What the source's ztunnel begins with; undefined where the kernel finds no address of the pod to take. */
function departing(view: MeshView, { source, dialled }: Dial): Facts | undefined {
  if (source.type === 'address') return undefined;
  const { workload } = source;
  const ip = ownAddress(source, dialled.ip);
  if (ip === undefined) return undefined;
  const address = { ip, port: outboundPort };
  const arrival: OutboundArrival = {
    type: 'outbound',
    pod: enginePod(workload),
    client: address,
    local: address,
  };
  const facts = outboundFacts(view, arrival, dialled);
  return { ...facts, source: { ...facts.source, workload } };
}

const noAddress = ({ source, dialled }: Dial): MeshError => {
  const name = source.type === 'address' ? source.ip : `${source.workload.namespace}/${source.workload.name}`;
  const family = isIpv4(dialled.ip) ? 'IPv4' : 'IPv6';
  return new MeshError(
    'DIAL_FAILED',
    `${name} has no ${family} address to connect to ${formatSocketAddress(dialled)} from`,
  );
};

const unknownAddress = { ipv4: parseIp('0.0.0.0'), ipv6: parseIp('::') } as const;

/** Of the family; of somebody whose address nobody knows the unspecified one. */
function ownAddress(source: Source, family: IpAddress): IpAddress | undefined {
  if (source.type !== 'pod' && source.ip === undefined) {
    return isIpv4(family) ? unknownAddress.ipv4 : unknownAddress.ipv6;
  }
  const own = source.type === 'pod' ? source.workload.addresses : source.ip === undefined ? [] : [source.ip];
  return own.find((ip) => isIpv4(ip) === isIpv4(family));
}

const enginePod = ({ uid, identity, addresses }: Workload): EnginePod => ({
  uid,
  identity,
  addresses,
  netns: '',
});

/** `result`: what the source's ztunnel came to about one of the targets. */
function ending(deps: JourneyDeps, dial: Dial, target: SocketAddress, result: Facts | Refusal): Ending {
  const workload = deps.view.workloadByIp(target.ip);
  const base = { endpoint: target, workload, expects: [], inbound: undefined, path: undefined } as const;
  if (isRefusal(result)) return { ...base, ...judged(result), why: 'refused by the source’s ztunnel' };
  const [route] = result.routes;
  if (route?.type !== 'hbone' || workload === undefined) return leaving(target, workload, result.verdict);
  return throughTunnel(deps, dial, { ...base, workload, expects: route.expectedIdentities }, route);
}

function leaving(
  target: SocketAddress,
  workload: Workload | undefined,
  verdict: Verdict | undefined,
): Ending {
  const why = `${workload === undefined ? formatSocketAddress(target) : nameOf(workload)} is not in the mesh`;
  return {
    endpoint: target,
    workload,
    path: 'direct',
    why,
    expects: [],
    inbound: undefined,
    verdict,
    refused: undefined,
  };
}

type Tunnelled = Pick<Ending, 'endpoint' | 'expects' | 'inbound'> & { readonly workload: Workload };

/** As `bpf/connect.bpf.c` has it. */
function isKernelPath(
  { view, kernelPath }: JourneyDeps,
  { source, dialled }: Dial,
  target: SocketAddress,
): boolean {
  if (source.type !== 'pod' || !takesKernelPath(source.workload, kernelPath)) return false;
  if (dialled.ip === target.ip) return isKernelTarget(view, target, kernelPath);
  const choice = choicesAt(view, dialled.ip, kernelPath).find((each) => each.dialled.port === dialled.port);
  if (choice === undefined || isOwn(source, target.ip)) return false;
  const isRestricted = egressVerdict(view, source.workload, { ...dialled, protocol: 'tcp' }) !== undefined;
  if (choice.leaves && isRestricted) return false;
  return choice.kernel.some(({ ip, port }) => ip === target.ip && port === target.port);
}

function throughTunnel(deps: JourneyDeps, dial: Dial, base: Tunnelled, route: HboneRoute): Ending {
  const { view, authorizer, enrolment, certificateTrouble } = deps;
  const { source } = dial;
  const { workload } = base;
  const isKernel = isKernelPath(deps, dial, route.target);
  const via = formatSocketAddress(route.via);
  const client = ownAddress(source, route.target.ip);
  if (source.type === 'address' || client === undefined)
    return { ...base, ...unasked, path: undefined, why: via };
  const trouble = isKernel ? undefined : certificateTrouble(source.workload.identity);
  if (trouble !== undefined) {
    return { ...base, ...failing('certificate', trouble), path: undefined, why: `HBONE to ${via}` };
  }
  const state = enrolment(workload);
  if (state?.enrolled === false) {
    const error = new MeshError(
      'DIAL_FAILED',
      `nobody listens on ${via}: ${nameOf(workload)} belongs into the mesh and is not captured: ${state.reason}`,
    );
    return { ...base, ...failing('dial', error), path: undefined, why: `HBONE to ${via}` };
  }
  const result = inboundSteps(authorizer)(
    hboneFacts(view, {
      type: 'hbone',
      pod: enginePod(workload),
      client: { ip: client, port: outboundPort },
      local: route.via,
      peerIdentity: source.workload.identity,
      authority: formatSocketAddress(route.target),
      headers: new Map(route.headers),
    }),
  );
  const why = isKernel
    ? `both pods are on node ${workload.node}; ztunnel is asked once, and the kernel carries what follows`
    : `mutual TLS to ${via}`;
  return {
    ...base,
    ...judged(result),
    ...(isKernel ? { path: 'kernel', expects: [] } : { path: 'hbone' }),
    why,
    inbound: isRefusal(result) ? result.facts : result,
  };
}

/** `connect()` leaves it alone, except to the mesh's own listeners. */
function ownJourney({ dialled, source }: Dial, capture: Capture): Journey {
  if (meshPorts.has(dialled.port)) {
    const error = new MeshError(
      'RECURSIVE_CALL',
      `${formatSocketAddress(dialled)} is a port of the mesh itself`,
    );
    return { ...nothing, capture, stopped: failing('capture', error) };
  }
  const workload = source.type === 'pod' ? source.workload : undefined;
  const why = 'the pod itself';
  return {
    ...nothing,
    capture,
    endings: [
      { ...unasked, endpoint: dialled, workload, path: 'direct', why, expects: [], inbound: undefined },
    ],
  };
}

/** The node's own way: kube-proxy chooses the endpoint, and what it finds there may be a pod of the mesh. */
function aroundZtunnel(deps: JourneyDeps, dial: Dial, capture: Capture): Journey {
  const { source, dialled, transport } = dial;
  const egress =
    capture.kind === 'outside' && source.type !== 'address'
      ? egressVerdict(deps.view, source.workload, { ...dialled, protocol: transport })
      : undefined;
  if (egress?.allowed === false) {
    const stopped = { verdict: egress, refused: { hop: 'policy', error: denial(egress) } } as const;
    return { ...nothing, capture, egress, stopped };
  }
  const service = transport === 'udp' ? undefined : deps.view.serviceByVip(dialled.ip);
  const targets = service === undefined ? [dialled] : nativeTargets(deps.view, service, dial);
  if (targets.length === 0) {
    const error = new MeshError(
      'NO_HEALTHY_ENDPOINT',
      `service ${service?.key} has no ready endpoint for port ${dialled.port}`,
    );
    return { ...nothing, capture, egress, stopped: failing('resolve', error) };
  }
  return { ...nothing, capture, egress, endings: targets.map((target) => plainEnding(deps, dial, target)) };
}

const nowhere: Vantage = { node: '' as NodeName, zone: undefined };

function nativeTargets(
  view: MeshView,
  service: Service,
  { source, dialled }: Dial,
): readonly SocketAddress[] {
  const from = source.type === 'address' ? nowhere : vantageOf(view, source.workload);
  return usableEndpoints(service, dialled, from)
    .map((endpoint) => targetOf(endpoint, dialled.port))
    .filter((target) => target !== undefined);
}

function plainEnding(deps: JourneyDeps, { source, transport }: Dial, target: SocketAddress): Ending {
  const { view, authorizer, enrolment } = deps;
  const workload = view.workloadByIp(target.ip);
  const base = { endpoint: target, workload, expects: [], inbound: undefined } as const;
  const direct = (why: string): Ending => ({ ...base, ...unasked, path: 'direct', why });
  if (workload?.protocol !== 'hbone') return leaving(target, workload, undefined);
  if (transport === 'udp') return direct(`UDP that arrives at ${nameOf(workload)} is not judged`);
  if (source.type === 'pod' && isOwn(source, target.ip)) return direct('the pod itself');
  const state = enrolment(workload);
  if (state?.enrolled === false) {
    return direct(`${nameOf(workload)} belongs into the mesh and is not captured: ${state.reason}`);
  }
  if (source.type === 'pod' && source.workload.hostNetwork && source.workload.node === workload.node) {
    return direct(`connections of the node itself reach its pods, as the kubelet’s probes do`);
  }
  const client = ownAddress(source, target.ip);
  if (client === undefined) {
    return {
      ...base,
      ...failing('dial', noAddress({ source, dialled: target, transport })),
      path: undefined,
      why: 'plaintext',
    };
  }
  const arrival = { pod: enginePod(workload), client: { ip: client, port: outboundPort }, local: target };
  const result = inboundSteps(authorizer)(plaintextFacts(view, { ...arrival }));
  const why = `arrives at ${nameOf(workload)} without an identity`;
  return {
    ...base,
    ...judged(result),
    path: 'plaintext',
    why,
    inbound: isRefusal(result) ? result.facts : result,
  };
}

const nameOf = ({ namespace, name }: Workload): string => `${namespace}/${name}`;
