/** The two ends of a connection that somebody asks about, found in a version of the mesh. Pure. */
import { MeshError } from '../../base/errors.ts';
import { type IpAddress, isIpv4, type Port, type SocketAddress } from '../../base/ip.ts';
import { suggest } from '../../kube/suggest.ts';
import type { Transport } from '../../model/access.ts';
import { identityParts, type SpiffeId, spiffeId } from '../../model/identity.ts';
import {
  type NodeName,
  type Service,
  serviceKey,
  type Workload,
  type WorkloadUid,
} from '../../model/mesh.ts';
import type { MeshView } from '../../model/view.ts';
import { type Aim, parseAim, parseReference, type Reference } from './reference.ts';

export type Source =
  | {
      readonly type: 'pod';
      readonly workload: Workload;
      /** Of what was asked for, this one included. */
      readonly alike: number;
    }
  /** Some pod of the mesh with this identity, put together for the question. */
  | { readonly type: 'identity'; readonly workload: Workload; readonly ip: IpAddress | undefined }
  | { readonly type: 'address'; readonly ip: IpAddress };

export interface Destination {
  /** None of a headless Service without endpoints: its name resolves to nothing. */
  readonly dialled: readonly SocketAddress[];
  readonly transport: Transport;
  readonly service: Service | undefined;
}

/** @throws MeshError INVALID_ARGUMENT, NOT_FOUND */
export function findSource(view: MeshView, text: string, namespace: string | undefined): Source {
  const reference = parseReference(text, namespace);
  switch (reference.type) {
    case 'address': {
      const workload = view.workloadByIp(reference.ip);
      return workload === undefined ? reference : { type: 'pod', workload, alike: 1 };
    }
    case 'identity':
      return somebody(reference.identity, reference.ip);
    case 'account': {
      const { namespace: where, name: serviceAccount, ip } = reference;
      const { trustDomain } = view.config;
      return somebody(spiffeId({ trustDomain, namespace: where, serviceAccount }), ip);
    }
    case 'name': {
      const [workload, ...others] = reference.kind === 'service' ? [] : podsNamed(view, reference);
      if (workload === undefined) throw noSource(view, reference);
      return { type: 'pod', workload, alike: others.length + 1 };
    }
  }
}

/** @param from prefers addresses of a family that it has. @throws MeshError INVALID_ARGUMENT, NOT_FOUND */
export function findDestination(
  view: MeshView,
  text: string,
  namespace: string | undefined,
  from: Source,
): Destination {
  const aim = parseAim(text, namespace);
  const { at, transport } = aim;
  switch (at.type) {
    case 'address':
      return {
        dialled: [{ ip: at.ip, port: portOf(aim, text) }],
        transport,
        service: view.serviceByVip(at.ip),
      };
    case 'identity':
    case 'account':
      throw new MeshError('INVALID_ARGUMENT', `"${text}": an identity cannot be dialled`, {
        hint: 'name a Service, a pod or an address',
      });
    case 'name':
      return namedDestination(view, at, aim, { text, family: familyOf(from) });
  }
}

type Named = Extract<Reference, { readonly type: 'name' }>;

interface Asked {
  readonly text: string;
  /** Whether the source would rather have an address. */
  readonly family: (ip: IpAddress) => boolean;
}

/** A name that both a Service and pods have is the Service's: applications dial that. */
function namedDestination(view: MeshView, at: Named, aim: Aim, asked: Asked): Destination {
  const wantsPods = at.kind === 'pod' || at.kind === 'owner';
  const service = wantsPods ? undefined : view.services.get(serviceKey(at.namespace, at.name));
  if (service !== undefined) return serviceDestination(service, aim, asked);
  const pods = at.kind === 'service' ? [] : podsNamed(view, at);
  if (pods.length === 0) throw notFound(view, at, 'destination');
  const port = portOf(aim, asked.text);
  const dialled = pods.flatMap(({ addresses }) => {
    const ip = preferred(addresses, asked);
    return ip === undefined ? [] : [{ ip, port }];
  });
  return { dialled, transport: aim.transport, service: undefined };
}

function serviceDestination(service: Service, { port, transport }: Aim, asked: Asked): Destination {
  const known = service.ports.filter(({ protocol }) => protocol === transport);
  const chosen = port ?? (known.length === 1 ? known[0]?.port : undefined);
  if (chosen === undefined) {
    throw new MeshError('INVALID_ARGUMENT', `"${asked.text}": to which port of Service ${service.key}?`, {
      hint: `it has ${service.ports.map((each) => `${each.port}/${each.protocol}`).join(', ') || 'none'}; write ${asked.text}:PORT`,
    });
  }
  const ready = service.endpoints.filter((endpoint) => endpoint.ready).map(({ address }) => address);
  const vip = preferred(service.vips, asked);
  const resolved = vip === undefined ? ofOneFamily([...new Set(ready)], asked) : [vip];
  return { dialled: resolved.map((ip) => ({ ip, port: chosen })), transport, service };
}

const preferred = (ips: readonly IpAddress[], { family }: Asked): IpAddress | undefined =>
  ips.find(family) ?? ips[0];

/** Those of the family preferred if there are any. */
function ofOneFamily(ips: readonly IpAddress[], { family }: Asked): readonly IpAddress[] {
  const fitting = ips.filter(family);
  return fitting.length > 0 ? fitting : ips;
}

function familyOf(from: Source): (ip: IpAddress) => boolean {
  const own = from.type === 'pod' ? from.workload.addresses : from.ip === undefined ? [] : [from.ip];
  return (ip) => own.some((each) => isIpv4(each) === isIpv4(ip));
}

function portOf({ port }: Aim, text: string): Port {
  if (port !== undefined) return port;
  throw new MeshError('INVALID_ARGUMENT', `"${text}": to which port?`, { hint: `write ${text}:PORT` });
}

/** The pod of that name, else the pods of the owner of that name; by name, those that leave last. */
function podsNamed(view: MeshView, { kind, ownerKind, namespace, name }: Named): readonly Workload[] {
  const there = [...view.workloads.values()].filter((workload) => workload.namespace === namespace);
  const exact = kind === 'owner' ? [] : there.filter((workload) => workload.name === name);
  if (exact.length > 0 || kind === 'pod') return exact.toSorted(byPresence);
  return there
    .filter(({ owner }) => owner.name === name && (ownerKind === undefined || owner.kind === ownerKind))
    .toSorted(byPresence);
}

const byPresence = (a: Workload, b: Workload): number =>
  Number(a.terminating) - Number(b.terminating) || (a.name < b.name ? -1 : 1);

/** As nothing is known of it but its identity, no selector that names a label chooses it. */
function somebody(identity: SpiffeId, ip: IpAddress | undefined): Source {
  const { namespace, serviceAccount } = identityParts(identity);
  const workload: Workload = {
    uid: `somebody/${identity}` as WorkloadUid,
    namespace,
    name: `(any pod of service account ${serviceAccount})`,
    serviceAccount,
    identity,
    node: '' as NodeName,
    addresses: ip === undefined ? [] : [ip],
    protocol: 'hbone',
    hostNetwork: false,
    terminating: false,
    owner: { name: serviceAccount, kind: 'serviceaccount' },
    labels: {},
  };
  return { type: 'identity', workload, ip };
}

function noSource(view: MeshView, reference: Named): MeshError {
  const isService =
    reference.kind === 'service' || view.services.has(serviceKey(reference.namespace, reference.name));
  return isService
    ? new MeshError(
        'NOT_FOUND',
        `${reference.namespace}/${reference.name} is a Service, and those open no connections`,
        {
          hint: `name a pod or a workload: mesh-ebpf workloads -n ${reference.namespace}`,
        },
      )
    : notFound(view, reference, 'source');
}

function notFound(
  view: MeshView,
  { namespace, name, kind }: Named,
  end: 'source' | 'destination',
): MeshError {
  const inNamespace = [
    ...[...view.workloads.values()].flatMap((pod) =>
      pod.namespace === namespace ? [pod.name, pod.owner.name] : [],
    ),
    ...[...view.services.values()].flatMap((each) =>
      each.namespace === namespace && end === 'destination' ? [each.name] : [],
    ),
  ];
  const what =
    kind === 'any' ? (end === 'source' ? 'pod or workload' : 'Service, pod or workload') : words[kind];
  const meant = suggest(name, inNamespace);
  const outside = end === 'destination' ? '; of what is outside of the cluster give the address' : '';
  return new MeshError('NOT_FOUND', `there is no ${what} "${name}" in namespace "${namespace}"`, {
    hint:
      meant === undefined
        ? `see: mesh-ebpf workloads -n ${namespace}${outside}`
        : `did you mean ${namespace}/${meant}?`,
  });
}

const words = { pod: 'pod', service: 'Service', owner: 'workload' } as const;
