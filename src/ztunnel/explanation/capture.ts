/** Whether the kernel of the source's node hands a connection to ztunnel, as `bpf/connect.bpf.c` decides it. Pure. */
import { type IpAddress, isLoopback, type SocketAddress } from '../../base/ip.ts';
import { destinationAt } from '../../datapath/desired.ts';
import type { Transport } from '../../model/access.ts';
import type { Workload } from '../../model/mesh.ts';
import type { MeshView } from '../../model/view.ts';
import type { Source } from './parties.ts';

/** Undefined: the node that is asked does not know, as it is another's pod. */
export type Enrolment = { readonly enrolled: true } | { readonly enrolled: false; readonly reason: string };
export type EnrolmentLookup = (workload: Workload) => Enrolment | undefined;

/** `own`: to the pod itself. `outside`: past the mesh, and a pod of the mesh may be kept from that. */
export type CaptureKind = 'captured' | 'own' | 'outside' | 'unmeshed';

export interface Capture {
  readonly kind: CaptureKind;
  readonly why: string;
}

export interface Dial {
  readonly source: Source;
  readonly dialled: SocketAddress;
  readonly transport: Transport;
}

export function captureOf(
  view: MeshView,
  { source, dialled, transport }: Dial,
  enrolment: EnrolmentLookup,
): Capture {
  const unmeshed = whyUnmeshed(source, enrolment);
  if (unmeshed !== undefined) return { kind: 'unmeshed', why: unmeshed };
  if (isOwn(source, dialled.ip)) return { kind: 'own', why: 'what a pod sends to itself is left alone' };
  if (transport === 'udp') return { kind: 'outside', why: 'the mesh carries no UDP' };
  const service = view.serviceByVip(dialled.ip);
  const workload = view.workloadByIp(dialled.ip);
  const known = destinationAt(view, dialled.ip);
  if (known === undefined) return { kind: 'outside', why: outsideWords(dialled.ip, service?.key, workload) };
  if (service === undefined || !known.flags.service) {
    return { kind: 'captured', why: `${dialled.ip} is ${nameOf(workload)}, which is in the mesh` };
  }
  const endpoints = service.endpoints.length === 0 ? 'has no endpoints' : 'has endpoints in the mesh';
  return { kind: 'captured', why: `${dialled.ip} is Service ${service.key}, which ${endpoints}` };
}

function whyUnmeshed(source: Source, enrolment: EnrolmentLookup): string | undefined {
  if (source.type === 'address') return `${source.ip} is the address of no pod`;
  const { workload } = source;
  if (workload.hostNetwork) return `${nameOf(workload)} uses its node’s network, which is not captured`;
  if (workload.protocol !== 'hbone') {
    return `${nameOf(workload)} is not in the mesh (label istio.io/dataplane-mode=ambient, its own or its namespace’s)`;
  }
  const state = source.type === 'pod' ? enrolment(workload) : undefined;
  return state?.enrolled === false
    ? `${nameOf(workload)} belongs into the mesh and is not captured: ${state.reason}`
    : undefined;
}

/** As connect() has it, the unspecified addresses are loopback too. */
export const isOwn = (source: Source, ip: IpAddress): boolean =>
  isLoopback(ip) ||
  ip === '0.0.0.0' ||
  ip === '::' ||
  (source.type === 'pod' && source.workload.addresses.includes(ip));

function outsideWords(ip: IpAddress, service: string | undefined, workload: Workload | undefined): string {
  if (service !== undefined) return `Service ${service} has no endpoint in the mesh`;
  return workload === undefined ? `${ip} is outside of the mesh` : `${nameOf(workload)} is not in the mesh`;
}

const nameOf = (workload: Workload | undefined): string =>
  workload === undefined ? 'a pod' : `pod ${workload.namespace}/${workload.name}`;
