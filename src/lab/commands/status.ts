/** `lab status`: the lab as one document: nodes with their processes, pods, Services. A public schema: fields are only added. */
import type { Pod, Service } from '../../kube/objects.ts';
import { serviceNameLabel } from '../../kube/objects.ts';
import { adminSocketGate } from '../kubelet/enrolment.ts';
import { nodesOf, requireLab } from '../lab-file.ts';
import type { LabState } from '../lab-file.ts';
import { nodeNetns, podNetns } from '../layout.ts';
import { readNodeReport } from '../node-report.ts';
import type { NodeReport } from '../node-report.ts';
import { clusterIps } from '../plan/allocate.ts';
import { wantsMesh } from '../plan/enrolled.ts';
import { objectsOfKind } from '../plan/objects.ts';
import type { Objects } from '../plan/objects.ts';
import { isPodReady, isTerminating } from '../plan/pod-status.ts';
import { ObjectStore } from '../system/object-store.ts';
import { isAlive } from '../system/process.ts';
import type { LabNode } from '../topology.ts';
import type { LabContext } from './context.ts';

export interface StatusProcess {
  readonly name: string;
  /** null while it does not run. */
  readonly pid: number | null;
  readonly restarts: number;
  readonly lastExit: string | null;
}

export interface StatusNode {
  readonly name: string;
  readonly ips: readonly string[];
  readonly podCIDRs: readonly string[];
  readonly netns: string;
  readonly pods: { readonly total: number; readonly ready: number };
  readonly processes: readonly StatusProcess[];
}

/** `yes`, `no: not labelled`, `waiting`: labelled, not captured yet; `no mesh`: the lab runs without one. */
export type InMesh = 'yes' | 'not labelled' | 'waiting' | 'no mesh';

export interface StatusPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly node: string;
  readonly ips: readonly string[];
  readonly netns: string;
  readonly phase: string;
  readonly ready: boolean;
  readonly restarts: number;
  readonly inMesh: InMesh;
  readonly serviceAccount: string;
  readonly createdAt: string | null;
  readonly reason: string | null;
  readonly message: string | null;
}

export interface StatusService {
  readonly namespace: string;
  readonly name: string;
  readonly ips: readonly string[];
  /** `80/TCP`, with the name in front where it has one. */
  readonly ports: readonly string[];
  readonly endpoints: { readonly total: number; readonly ready: number };
}

export interface LabStatus {
  readonly mesh: boolean;
  readonly stateDir: string;
  readonly nodes: readonly StatusNode[];
  readonly pods: readonly StatusPod[];
  readonly services: readonly StatusService[];
}

export async function labStatus({ layout }: LabContext): Promise<LabStatus> {
  const state = await requireLab(layout);
  const objects = new ObjectStore(layout).read();
  const nodes = nodesOf(state);
  const reports = await Promise.all(nodes.map(({ name }) => readNodeReport(layout.node(name))));
  const pods = objectsOfKind(objects, 'Pod');
  const askedMesh = (pod: Pod): Promise<InMesh> =>
    inMesh(pod, objects, state, layout.node(pod.spec.nodeName ?? '').adminSocket);
  return {
    mesh: state.mesh,
    stateDir: layout.stateDir,
    nodes: nodes.map((node, i) => statusNode(node, pods, reports[i])),
    pods: (await Promise.all(pods.map(async (pod) => statusPod(pod, await askedMesh(pod))))).toSorted(byName),
    services: objectsOfKind(objects, 'Service')
      .map((service) => statusService(service, objects))
      .toSorted(byName),
  };
}

interface Named {
  readonly namespace: string;
  readonly name: string;
}

const byName = (a: Named, b: Named): number =>
  a.namespace.localeCompare(b.namespace) || a.name.localeCompare(b.name, 'en', { numeric: true });

async function inMesh(pod: Pod, objects: Objects, state: LabState, socket: string): Promise<InMesh> {
  if (!state.mesh) return 'no mesh';
  if (!wantsMesh(pod, objects)) return 'not labelled';
  return (await adminSocketGate(socket).isEnrolled(pod.metadata.uid ?? '')) ? 'yes' : 'waiting';
}

function statusNode(node: LabNode, pods: readonly Pod[], report: NodeReport | undefined): StatusNode {
  const own = pods.filter((pod) => pod.spec.nodeName === node.name);
  return {
    name: node.name,
    ips: [node.ipv4, node.ipv6],
    podCIDRs: [node.podCidr4, node.podCidr6],
    netns: nodeNetns(node.name),
    pods: { total: own.length, ready: own.filter(isPodReady).length },
    processes: [report?.kubelet ?? { name: 'kubelet', restarts: 0 }, ...(report?.processes ?? [])].map(
      statusProcess,
    ),
  };
}

const statusProcess = ({
  name,
  process,
  restarts,
  lastExit,
}: NodeReport['processes'][number]): StatusProcess => ({
  name,
  pid: process !== undefined && isAlive(process) ? process.pid : null,
  restarts,
  lastExit: lastExit ?? null,
});

function statusPod(pod: Pod, mesh: InMesh): StatusPod {
  const { metadata, spec, status = {} } = pod;
  const uid = metadata.uid ?? '';
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    uid,
    node: spec.nodeName ?? '',
    ips: (status.podIPs ?? []).map(({ ip }) => ip),
    netns: podNetns(uid),
    phase: isTerminating(pod) ? 'Terminating' : (status.phase ?? 'Pending'),
    ready: isPodReady(pod),
    restarts: status.containerStatuses?.[0]?.restartCount ?? 0,
    inMesh: mesh,
    serviceAccount: spec.serviceAccountName ?? 'default',
    createdAt: metadata.creationTimestamp ?? null,
    reason: status.reason ?? null,
    message: status.message ?? null,
  };
}

function statusService(service: Service, objects: Objects): StatusService {
  const { namespace, name } = service.metadata;
  const slices = objectsOfKind(objects, 'EndpointSlice').filter(
    ({ metadata }) => metadata.namespace === namespace && metadata.labels?.[serviceNameLabel] === name,
  );
  // A pod with two addresses is one endpoint.
  const endpoints = Map.groupBy(
    slices.flatMap((slice) => slice.endpoints),
    (endpoint) => endpoint.targetRef?.uid ?? endpoint.addresses[0],
  );
  const ready = [...endpoints.values()].filter(([first]) => first?.conditions?.ready === true).length;
  return {
    namespace,
    name,
    ips: clusterIps(service),
    ports: (service.spec.ports ?? []).map(
      (port) => `${port.name === undefined ? '' : `${port.name}:`}${port.port}/${port.protocol ?? 'TCP'}`,
    ),
    endpoints: { total: endpoints.size, ready },
  };
}
