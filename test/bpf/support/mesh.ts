/** A lab with two enrolled pods `a` and `b`, a pod `x` outside the mesh, and listeners that say who got a connection. */
import type { Socket } from 'node:net';
import { parseIp, parsePort, type SocketAddress } from '../../../src/base/ip.ts';
import type { Datapath, DatapathOptions } from '../../../src/datapath/datapath.ts';
import type { CapturedConnection } from '../../../src/datapath/original-destination.ts';
import type { MeshView } from '../../../src/model/view.ts';
import { Lab, type LabPod } from './lab.ts';
import { meshOf, pod as workload, service } from '../../support/mesh-builder.ts';

export interface Mesh {
  readonly lab: Lab;
  /** Replaced by tests that restart it. */
  datapath: Datapath;
  /** False while there is no agent: `stop` was called. */
  running: boolean;
  readonly a: LabPod;
  readonly b: LabPod;
  readonly x: LabPod;
}

/** The mesh as the reconciler gets it: `a`, `b` and a Service of each family before them. */
export function wholeMesh(
  pods: Pick<Mesh, 'a' | 'b'>,
  sameNode: Readonly<Record<string, 'hbone'>> = {},
  accelerate: Readonly<Record<string, boolean>> = {},
): MeshView {
  const members = [pods.a, pods.b];
  const endpoints = members.map(({ ip4 }) => ({ address: ip4 }));
  return meshOf({
    workloads: members.map(({ name, ip4, ip6 }) => ({
      ...workload(`test/${name}`, { ips: [ip4, ip6] }),
      ...(sameNode[name] !== undefined && { sameNode: sameNode[name] }),
      ...(accelerate[name] !== undefined && { accelerate: accelerate[name] }),
    })),
    services: [
      service('test/web', '10.96.0.10', '80:8080', endpoints),
      service('test/web6', 'fd96::10', '80:8080', endpoints),
    ],
  }).view;
}

export async function startMesh(options: Partial<DatapathOptions> = {}): Promise<Mesh> {
  const lab = new Lab();
  const [a, b, x] = [lab.addPod('a'), lab.addPod('b'), lab.addPod('x')];
  const mesh: Mesh = { lab, datapath: await lab.open(options), running: true, a, b, x };
  for (const pod of [a, b]) {
    await lab.listen(pod.netns, 15001, (socket) => socket.end(describeCaptured(mesh, socket)));
    await lab.listen(pod.netns, 15008, (socket) => socket.end('hbone'));
    lab.plaintextListener(pod, await lab.listen(pod.netns, 15006, (socket) => socket.end(describePlaintext(socket))));
  }
  for (const pod of [a, b, x]) {
    await lab.listen(pod.netns, 8080, (socket) => socket.end(`application ${pod.name}`));
  }
  await enrolBoth(mesh);
  mesh.datapath.apply(wholeMesh(mesh));
  mesh.datapath.activate();
  return mesh;
}

export async function enrolBoth({ lab, datapath, a, b }: Mesh): Promise<void> {
  await lab.enrol(datapath, a);
  await lab.enrol(datapath, b);
}

/** Ends the agent's part; everything pinned stays. */
export function stopAgent(mesh: Mesh): void {
  mesh.datapath.close();
  mesh.running = false;
}

/** What the next agent does at its start, with the pods and the mesh it finds. */
export async function startAgent(
  mesh: Mesh,
  options: Partial<DatapathOptions> = {},
  view: MeshView = wholeMesh(mesh),
): Promise<void> {
  mesh.datapath = await mesh.lab.open(options);
  mesh.running = true;
  await enrolBoth(mesh);
  mesh.datapath.apply(view);
  mesh.datapath.activate();
}

export async function stopMesh(mesh: Mesh): Promise<void> {
  if (mesh.running) stopAgent(mesh);
  await mesh.lab.close();
}

/** Plays ztunnel's outbound listener: tells the application what it knows of its connection. */
function describeCaptured(mesh: Mesh, socket: Socket): string {
  if (!mesh.running) {
    waiting.push({ client: remote(socket), local: local(socket) });
    return 'no agent';
  }
  const found = mesh.datapath.originalDestination(remote(socket), local(socket));
  return found === undefined
    ? 'unknown'
    : `captured ${found.destination.ip} ${found.destination.port} by pod ${found.podId}${drawnWords(found)}`;
}

const drawnWords = ({ drawn }: CapturedConnection): string => (drawn === 'nothing' ? '' : `, drew ${drawn}`);
interface Accepted {
  readonly client: SocketAddress;
  readonly local: SocketAddress;
}

/** Connections that ztunnel's plaintext listeners got, the newest last. */
export const accepted: Accepted[] = [];
/** Those that its listeners for captured ones got while there was no agent. */
export const waiting: Accepted[] = [];

function describePlaintext(socket: Socket): string {
  accepted.push({ client: remote(socket), local: local(socket) });
  return `plaintext ${local(socket).ip} ${local(socket).port}`;
}

const remote = (socket: Socket): SocketAddress => address(socket.remoteAddress, socket.remotePort);
const local = (socket: Socket): SocketAddress => address(socket.localAddress, socket.localPort);

const address = (ip = '', port = 0): SocketAddress => ({ ip: parseIp(ip), port: parsePort(port) });
