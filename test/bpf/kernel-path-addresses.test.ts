/** The kernel path and addresses that do not stay with their pods: no verdict counts for anybody but whom it was given for. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { IpAddress, Port } from '../../src/base/ip.ts';
import type { WorkloadUid } from '../../src/model/mesh.ts';
import { eventually } from '../netns/support/wait.ts';
import { allow, data, kernelPath, toZtunnel, startOver } from './support/kernel-path.ts';
import { type LabPod, sh } from './support/lab.ts';
import { accepted, type Mesh, startMesh, stopMesh } from './support/mesh.ts';
import * as scripts from './support/scripts.ts';

const sizes = { pods: 8, destinations: 16, flows: 64, egress: 64, verdicts: 1024 };

let mesh: Mesh;
beforeAll(async () => {
  mesh = await startMesh({ sizes, kernelPath });
  const { lab, x } = mesh;
  lab.plaintextListener(x, await lab.listen(x.netns, 15006, (socket) => socket.end('the twin')));
});
afterAll(() => stopMesh(mesh));
beforeEach(async () => {
  for (const pod of [mesh.a, mesh.b]) await mesh.lab.enrol(mesh.datapath, pod);
  startOver(mesh);
  await allow(mesh, mesh.a, mesh.b, mesh.b.ip4, 8080);
});
afterEach(() => {
  for (const { uid } of mesh.datapath.enrolled()) mesh.datapath.unenrol(uid);
});

const dial = (from: LabPod, ip: string): Promise<unknown> => mesh.lab.run(from, scripts.connect, [ip, 8080]);
const nameOf = ({ netns }: LabPod): string => netns.split('/').at(-1) ?? '';
const captured: unknown = expect.objectContaining({ data: expect.stringContaining('captured') as unknown });

/** A pod of another network with the address of one that is there. */
async function twin(ip: IpAddress): Promise<WorkloadUid> {
  const { lab, x, datapath } = mesh;
  await lab.enrol(datapath, x, [ip, x.ip6]);
  return x.uid;
}

/** Nobody hears the first packet of what is dialled meanwhile; who dials tries again after a second. */
async function beforeItsSyn(action: () => unknown): Promise<unknown> {
  const rule = 'nft add rule ip t c "tcp dport 8080 tcp flags & (syn|ack) == syn drop"';
  const hook = '"{ type filter hook prerouting priority -300; }"';
  sh(`nsenter --net=${mesh.b.netns} sh -c 'nft add table ip t; nft add chain ip t c ${hook}; ${rule}'`);
  const before = mesh.datapath.counters().kernel;
  const answer = dial(mesh.a, mesh.b.ip4);
  await eventually('the connection to be dialled', () => mesh.datapath.counters().kernel > before || undefined);
  await action();
  sh(`nsenter --net=${mesh.b.netns} nft delete table ip t`);
  return await answer;
}

describe('an address that two pods of the node have, in networks of their own,', () => {
  it('is not on the kernel path, as long as both are there', async () => {
    const { a, b, datapath } = mesh;
    expect(await dial(a, b.ip4)).toEqual(data('application b'));
    const uid = await twin(b.ip4);
    expect(await dial(a, b.ip4)).toEqual(captured);
    datapath.unenrol(uid);
    expect(await dial(a, b.ip4)).toEqual(data('application b'));
  });

  it('lets nobody in to one of them by a verdict about the other', async () => {
    const before = mesh.datapath.counters().admittedKernel;
    const answer = await beforeItsSyn(async () => {
      const { a, b, datapath } = mesh;
      const uid = await twin(b.ip4);
      const podId = datapath.enrolled().find((pod) => pod.uid === a.uid)?.podId ?? 0;
      const [client, local] = [
        { ip: a.ip4, port: 1 as Port },
        { ip: b.ip4, port: 8080 as Port },
      ];
      datapath.kernelPath.allow(podId, client, local, uid, datapath.kernelPath.generation);
    });
    // It is handed to the listener of the pod that came last, which is not where its packets are.
    expect(answer).toEqual({ error: 'timeout' });
    expect(mesh.datapath.counters().admittedKernel).toBe(before);
  });
});

describe('a pod that is removed between the connect and the first packet', () => {
  it('is not reached by its verdict when another one has come in its place', async () => {
    const { b, lab, datapath } = mesh;
    const answer = await beforeItsSyn(() => {
      datapath.unenrol(b.uid);
      return lab.enrol(datapath, lab.successor(b, 'test/successor'));
    });
    expect(answer).toEqual(toZtunnel(b.ip4, 8080));
  });
});

describe('two pods that are restarted at once, each with the address that the other had,', () => {
  it('are known by who they are now, and nothing that was allowed counts', async () => {
    const { a, b, lab, datapath } = mesh;
    const swap = (one: string, other: string): void => {
      for (const [pod, from, to] of [[a, one, other] as const, [b, other, one] as const]) {
        sh(`ip -n ${nameOf(pod)} addr del ${from}/24 dev eth0; ip -n ${nameOf(pod)} addr add ${to}/24 dev eth0
          ip -n ${nameOf(pod)} route replace default via 10.77.0.1; ip -n ${nameOf(pod)} neigh flush dev eth0`);
      }
    };
    for (const pod of [a, b]) datapath.unenrol(pod.uid);
    swap(a.ip4, b.ip4);
    try {
      const next = lab.successor(a, 'test/next-a', { ip4: b.ip4 });
      const other = lab.successor(b, 'test/next-b', { ip4: a.ip4 });
      for (const pod of [next, other]) await lab.enrol(datapath, pod);
      // What `a` dialled at this address was allowed, and is another pod's now.
      for (const [from, to] of [[next, other] as const, [other, next] as const]) {
        expect(await dial(from, to.ip4)).toEqual(toZtunnel(to.ip4, 8080));
        const last = accepted.at(-1);
        if (last === undefined) throw new Error('ztunnel was not asked');
        expect(datapath.kernelPath.dialler(last.client, last.local)).toMatchObject({ type: 'pod', uid: from.uid });
      }
    } finally {
      swap(b.ip4, a.ip4);
    }
  });
});
