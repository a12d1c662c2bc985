/** ztunnel's part in tests of the kernel path: it is asked who dials, says yes, and takes it back. */
import { afterEach, expect } from '@jest/globals';
import type { IpAddress, Port, SocketAddress } from '../../../src/base/ip.ts';
import type { EndedConnection } from '../../../src/datapath/kernel-path/ended-batch.ts';
import type { Dialler } from '../../../src/datapath/kernel-path/kernel-path.ts';
import type { NodeName } from '../../../src/model/mesh.ts';
import { eventually } from '../../netns/support/wait.ts';
import type { LabPod } from './lab.ts';
import { accepted, type Mesh, wholeMesh } from './mesh.ts';
import * as scripts from './scripts.ts';

export const kernelPath = { node: 'node-a' as NodeName };

const noDiff = { workloads: [], services: [], policies: [], peerAuthentications: [], access: [], nodes: [] };

/** A change that may change verdicts: all that were given count no more when it returns. */
export function takeBack(mesh: Mesh): void {
  const view = wholeMesh(mesh);
  const { uid } = mesh.a;
  const after = view.workloads.get(uid);
  mesh.datapath.apply(view, { ...noDiff, workloads: [{ key: uid, before: after, after }] });
}

/** Answers for all connections that wait at ztunnel, without a word about them. */
export function forgetAccepted(mesh: Mesh): void {
  for (const { client, local } of accepted.splice(0)) mesh.datapath.kernelPath.dialler(client, local);
}

/** Who the kernel says has dialled the connection that ztunnel accepted last. */
function lastDialler(mesh: Mesh): Dialler & { client: SocketAddress; local: SocketAddress } {
  const last = accepted.at(-1);
  if (last === undefined) throw new Error('ztunnel accepted nothing');
  return { ...mesh.datapath.kernelPath.dialler(last.client, last.local), ...last };
}

/** From now on one pod reaches another one on this port. */
export async function allow(mesh: Mesh, from: LabPod, to: LabPod, ip: IpAddress, port: number): Promise<void> {
  await mesh.lab.run(from, scripts.connect, [ip, port]);
  await sayYes(mesh, from, to, port);
}

/** To what was dialled last. */
export async function sayYes(mesh: Mesh, from: LabPod, to: LabPod, port: number): Promise<void> {
  const dialler = await eventually('ztunnel to be asked', () => {
    const last = accepted.at(-1);
    return last?.local.port === (port as Port) ? lastDialler(mesh) : undefined;
  });
  if (dialler.type !== 'pod' || dialler.uid !== from.uid) throw new Error(`${dialler.type} dialled`);
  const { generation } = mesh.datapath.kernelPath;
  mesh.datapath.kernelPath.allow(dialler.podId, dialler.client, dialler.local, to.uid, generation);
}

export const data = (text: string): unknown => expect.objectContaining({ data: text });
export const toZtunnel = (ip: string, port: number): unknown => data(`plaintext ${ip} ${port}`);

/** Before each test: ztunnel has looked at all there was, both pods are on the kernel path, and nothing is allowed. */
export function startOver(mesh: Mesh): void {
  forgetAccepted(mesh);
  mesh.datapath.apply(wholeMesh(mesh));
  takeBack(mesh);
}

/** What a test leaves here is undone after it, the last first. */
export function undoneAfterEach(): (() => unknown)[] {
  const steps: (() => unknown)[] = [];
  afterEach(async () => {
    for (const undo of steps.splice(0).toReversed()) await undo();
  });
  return steps;
}

/** Connections on the kernel path that have ended. */
export class EndedConnections {
  readonly all: EndedConnection[] = [];
  #stop: () => void = () => {};

  /** From now on; of what was before nobody is told any more. */
  listen(mesh: Mesh): void {
    this.goOn(mesh);
    this.all.length = 0;
  }

  /** By another agent. */
  goOn({ datapath }: Mesh): void {
    this.stop();
    this.#stop = datapath.followEnded((connections) => this.all.push(...connections));
  }

  stop(): void {
    this.#stop();
    this.#stop = () => {};
  }
}
