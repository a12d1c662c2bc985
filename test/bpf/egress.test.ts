/** What enrolled pods may send out of the mesh, and by UDP anywhere: in the real kernel, by every way there is to send. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { setTimeout as delay } from 'node:timers/promises';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import type { Denial } from '../../src/datapath/egress/denials.ts';
import { dumpMap } from '../../src/datapath/inspect/maps.ts';
import type { NamespaceAccess } from '../../src/model/access.ts';
import type { MeshView } from '../../src/model/view.ts';
import { access, rule } from '../support/egress.ts';
import { meshOf } from '../support/mesh-builder.ts';
import { eventually } from '../netns/support/wait.ts';
import { anyAccessesIn, everyQuestion, naive, unmeshedCrowd } from '../unit/datapath/egress/support.ts';
import * as egress from './support/egress-scripts.ts';
import { withMultipath } from './support/kernel.ts';
import { native } from './support/lab.ts';
import { type Mesh, startAgent, startMesh, stopAgent, stopMesh, wholeMesh } from './support/mesh.ts';
import * as scripts from './support/scripts.ts';

const port = 5353;


let mesh: Mesh;
const servers: (() => Promise<unknown>)[] = [];
beforeAll(async () => {
  mesh = await startMesh();
  for (const pod of [mesh.a, mesh.b, mesh.x]) {
    servers.push(await mesh.lab.hold(pod, egress.udpServer, port));
  }
});
afterEach(() => under());
afterAll(async () => {
  await Promise.all(servers.map((end) => end()));
  await stopMesh(mesh);
});

/** The mesh as it always is, with these objects; the pods have their names as labels. */
function viewWith(objects: readonly NamespaceAccess[]): MeshView {
  const { workloads, services } = wholeMesh(mesh);
  const labelled = [...workloads.values()].map((each) => ({ ...each, labels: { app: each.name } }));
  return meshOf({ workloads: labelled, services: [...services.values()], access: objects }).view;
}

const under = (...objects: readonly NamespaceAccess[]): void => void mesh.datapath.apply(viewWith(objects));

/** For pod a only. */
const closed = (...rules: ReturnType<typeof rule>[]): NamespaceAccess =>
  access('test/closed', { labels: { app: 'a' }, egress: { default: 'deny', rules } });

const fromA = (script: string, arg: unknown): Promise<unknown> => mesh.lab.run(mesh.a, script, arg);
const answered = expect.stringMatching(/^datagram \d+$/);

/** How many datagrams x's server got, this question included. */
async function received(): Promise<number> {
  const [answer] = (await mesh.lab.run(mesh.lab.host, egress.udpAsk, [[mesh.x.ip4, port]])) as [string];
  return Number(answer.split(' ')[1]);
}

describe('without a NamespaceAccess', () => {
  it('everything is as if there were no mesh', async () => {
    const { b, x } = mesh;
    const everywhere = [b.ip4, b.ip6, x.ip4, x.ip6].map((ip) => [ip, port]);
    expect(await fromA(egress.udpAsk, everywhere)).toEqual([answered, answered, answered, answered]);
    expect(await fromA(scripts.connect, [x.ip4, 8080])).toMatchObject({ data: 'application x' });
  });
});

describe('under a default of Deny', () => {
  it('TCP out of the mesh is refused at connect, in both families and as IPv4 in IPv6', async () => {
    under(closed());
    const { x } = mesh;
    for (const ip of [x.ip4, x.ip6, `::ffff:${x.ip4}`]) {
      expect(await fromA(scripts.connect, [ip, 8080])).toEqual({ error: 'EPERM' });
    }
  });

  it('it is refused with TCP Fast Open too', async () => {
    under(closed());
    expect(await fromA(scripts.connectFastOpen, [mesh.x.ip4, 8080])).toEqual({ error: 'EPERM' });
  });

  withMultipath('it is refused with Multipath TCP too', async () => {
    under(closed());
    expect(await fromA(scripts.connectMultipath, [mesh.x.ip4, 8080])).toEqual({ error: 'EPERM' });
  });

  it('TCP within the mesh goes through ztunnel as always: there the destination’s policies decide', async () => {
    under(closed());
    const { b } = mesh;
    expect(await fromA(scripts.connect, [b.ip4, 8080])).toMatchObject({ data: expect.stringContaining('captured') });
    expect(await fromA(scripts.connect, ['10.96.0.10', 80])).toMatchObject({
      data: expect.stringContaining('captured'),
    });
  });

  it('datagrams are refused wherever they go, and none leaves the pod', async () => {
    const before = await received();
    under(closed());
    const { b, x } = mesh;
    const everywhere = [b.ip4, b.ip6, x.ip4, x.ip6, `::ffff:${x.ip4}`].map((ip) => [ip, port]);
    expect(await fromA(egress.udpAsk, everywhere)).toEqual(Array(5).fill('EPERM'));
    expect(await fromA(egress.udpConnect, everywhere)).toEqual(Array(5).fill('EPERM'));
    expect(await fromA(egress.udpIpv4OnIpv6Socket, [x.ip4, port])).toEqual(['EPERM', -1]);
    expect(['EPERM', 'EPROTONOSUPPORT']).toContain(await fromA(egress.udpLiteSend, [x.ip4, port]));
    expect(await received()).toBe(before + 1);
  });

  it('a pod talks to itself as it likes', async () => {
    under(closed());
    const { a } = mesh;
    const itself = ['127.0.0.1', '::1', '::ffff:127.0.0.1', '0.0.0.0', '::', a.ip4, a.ip6].map((ip) => [ip, port]);
    expect(await fromA(egress.udpAsk, itself)).toEqual(itself.map(() => answered));
    expect(await fromA(scripts.connect, ['127.0.0.1', 8080])).toMatchObject({ data: 'application a' });
    expect(await fromA(scripts.connect, [a.ip6, 8080])).toMatchObject({ data: 'application a' });
  });

  it('the node, pods outside the mesh and the mesh itself are none of its business', async () => {
    under(closed());
    const { lab, a, x } = mesh;
    const ask = [[mesh.b.ip4, port]];
    expect(await lab.run(lab.host, egress.udpAsk, ask)).toEqual([answered]);
    expect(await lab.run(x, egress.udpAsk, ask)).toEqual([answered]);
    expect(await lab.run(lab.ztunnelIn(a.netns), egress.udpAsk, ask)).toEqual([answered]);
    expect(await lab.run(x, scripts.connect, [a.ip4, 8080])).toMatchObject({ data: `plaintext ${a.ip4} 8080` });
  });

  it('a server’s answers are datagrams like any other: it answers whom it may send to', async () => {
    const { lab, a, x } = mesh;
    under(closed());
    expect(await lab.run(x, egress.udpAsk, [[a.ip4, port]])).toEqual(['timeout']);
    under(closed(rule('allow', `${x.ip4} udp`)));
    expect(await lab.run(x, egress.udpAsk, [[a.ip4, port]])).toEqual([answered]);
  });

  it('what a rule allows goes, by its protocol and port only', async () => {
    const { x } = mesh;
    under(closed(rule('allow', `${x.ip4} ${x.ip6} ${port}/udp`)));
    expect(await fromA(egress.udpAsk, [x.ip4, x.ip6, `::ffff:${x.ip4}`].map((ip) => [ip, port]))).toEqual([
      answered,
      answered,
      answered,
    ]);
    expect(await fromA(egress.udpConnect, [[x.ip4, port + 1]])).toEqual(['EPERM']);
    expect(await fromA(scripts.connect, [x.ip4, 8080])).toEqual({ error: 'EPERM' });
    under(closed(rule('allow', `${x.ip4} 8080/tcp`)));
    expect(await fromA(scripts.connect, [x.ip4, 8080])).toMatchObject({ data: 'application x' });
    expect(await fromA(egress.udpAsk, [[x.ip4, port]])).toEqual(['EPERM']);
  });
});

describe('an application that tries to get around it', () => {
  it('cannot send elsewhere on a socket connected to where it may', async () => {
    const { b, x } = mesh;
    under(closed(rule('allow', x.ip4)));
    const outcome = await fromA(egress.udpConnectAndSendElsewhere, [
      [x.ip4, port],
      [b.ip4, port],
    ]);
    expect(outcome).toEqual([answered, 'EPERM', 'EPERM', answered]);
  });

  it('cannot by going over to another cgroup, not even that of a pod outside', async () => {
    const { lab, x } = mesh;
    under(closed());
    for (const cgroup of [x.cgroup, lab.hostCgroup]) {
      expect(await fromA(egress.udpFromCgroup, [x.ip4, port, cgroup])).toBe('EPERM');
    }
  });

  it('is judged by the namespace its socket was opened in: from there its datagrams go out', async () => {
    const { lab, a, b, x } = mesh;
    under(closed());
    // Who can open a socket in another pod's namespace could as well run there.
    expect(await lab.run(a, egress.udpFromNamespace, [b.ip4, port, x.netns])).toEqual(answered);
    expect(await lab.run(x, egress.udpFromNamespace, [b.ip4, port, a.netns])).toBe('EPERM');
  });

  it('cannot with a socket from before the rules; one that was connected then goes on', async () => {
    const { x } = mesh;
    const directory = mkdtempSync(join(tmpdir(), 'mebpf-egress-'));
    try {
      const [ready, go] = [join(directory, 'ready'), join(directory, 'go')];
      const outcome = fromA(egress.udpLater, [x.ip4, port, ready, go]);
      await eventually('the sockets', () => existsSync(ready) || undefined);
      under(closed());
      writeFileSync(go, '');
      expect(await outcome).toEqual(['EPERM', answered]);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('cannot with a socket from before its pod was enrolled', async () => {
    const { datapath, a, x, lab } = mesh;
    under(closed());
    datapath.unenrol(a.uid);
    const directory = mkdtempSync(join(tmpdir(), 'mebpf-egress-'));
    try {
      const [ready, go] = [join(directory, 'ready'), join(directory, 'go')];
      const outcome = fromA(egress.udpLater, [x.ip4, port, ready, go]);
      await eventually('the sockets', () => existsSync(ready) || undefined);
      await lab.enrol(datapath, a);
      writeFileSync(go, '');
      expect(await outcome).toEqual(['EPERM', answered]);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe('from its first moment on', () => {
  it('a pod is under the objects that select it', async () => {
    const { datapath, a, x, lab } = mesh;
    datapath.unenrol(a.uid);
    under(closed());
    expect(await fromA(egress.udpAsk, [[x.ip4, port]])).toEqual([answered]);
    await lab.enrol(datapath, a);
    expect(await fromA(egress.udpAsk, [[x.ip4, port]])).toEqual(['EPERM']);
  });

  it('a pod that the model does not know may send nothing', async () => {
    const { datapath, a, x, lab } = mesh;
    datapath.unenrol(a.uid);
    datapath.apply(meshOf({}).view);
    await lab.enrol(datapath, a);
    expect(await fromA(egress.udpAsk, [[x.ip4, port]])).toEqual(['EPERM']);
    expect(await fromA(scripts.connect, [x.ip4, 8080])).toEqual({ error: 'EPERM' });
    under();
    expect(await fromA(egress.udpAsk, [[x.ip4, port]])).toEqual([answered]);
  });
});

describe('any objects', () => {
  it('are enforced as the naive reading of them says', async () => {
    const { workloads, services } = wholeMesh(mesh);
    const crowd = unmeshedCrowd();
    for (const objects of fc.sample(anyAccessesIn('test'), { numRuns: 12, seed: 5 })) {
      const { view } = meshOf({
        workloads: [...workloads.values(), ...crowd.workloads],
        services: [...services.values(), ...crowd.services],
        access: objects,
      });
      mesh.datapath.apply(view);
      const refused = await fromA(
        egress.refusals,
        everyQuestion.map(({ ip, port: to, protocol }) => [ip, to, protocol]),
      );
      expect(refused).toEqual(
        everyQuestion.map(({ ip, port: to, protocol }) => !naive(objects, view, ip, to, protocol)),
      );
    }
  });
});

describe('when the egress map is too small', () => {
  it('pods whose objects do not fit send nothing out of the mesh, until they do', async () => {
    const { x } = mesh;
    const many = Array.from({ length: 80 }, (_, i) => `10.99.${i}.1`).join(' ');
    under(closed(rule('allow', `${x.ip4} ${many}`)));
    expect(await fromA(egress.udpAsk, [[x.ip4, port]])).toEqual(['EPERM']);
    expect(dumpMap(native, mesh.lab.pinRoot, 'egress')).toEqual([]);
    under(closed(rule('allow', x.ip4)));
    expect(await fromA(egress.udpAsk, [[x.ip4, port]])).toEqual([answered]);
  });
});

describe('without an agent', () => {
  it('the rules stay in force, and the next one takes them over', async () => {
    const { x } = mesh;
    under(closed(rule('allow', `${x.ip6} ${port}/udp`)));
    const entries = dumpMap(native, mesh.lab.pinRoot, 'egress');
    expect(entries).toContainEqual({
      pods: 'test/a',
      destination: `${x.ip6}/128`,
      name: '',
      open: `${port}/udp`,
    });
    const ask = [
      [x.ip4, port],
      [x.ip6, port],
    ];
    expect(await fromA(egress.udpAsk, ask)).toEqual(['EPERM', answered]);
    stopAgent(mesh);
    expect(await fromA(egress.udpAsk, ask)).toEqual(['EPERM', answered]);
    mesh.datapath = await mesh.lab.open();
    mesh.running = true;
    expect(await fromA(egress.udpAsk, ask)).toEqual(['EPERM', answered]);
    expect(dumpMap(native, mesh.lab.pinRoot, 'egress')).toEqual(entries);
    mesh.datapath.close();
    await startAgent(mesh);
    expect(await fromA(egress.udpAsk, ask)).toEqual([answered, answered]);
    expect(dumpMap(native, mesh.lab.pinRoot, 'egress')).toEqual([]);
  });
});

describe('a refusal', () => {
  it('to connect a UDP socket where TCP is let through, as resolvers do, is nobody’s news', async () => {
    const { b, x, datapath } = mesh;
    under(closed(rule('allow', `${x.ip4} 8080/tcp`)));
    const before = datapath.counters();
    const resolved = [
      [b.ip4, 8080],
      [x.ip4, 8080],
    ];
    expect(await fromA(egress.udpConnect, resolved)).toEqual(['EPERM', 'EPERM']);
    expect(await fromA(egress.udpConnect, [[x.ip4, 8081]])).toEqual(['EPERM']);
    const { deniedConnecting, deniedEgress } = datapath.counters();
    expect([deniedConnecting - before.deniedConnecting, deniedEgress - before.deniedEgress]).toEqual([2n, 1n]);
  });

  it('is counted, and told with who it was and what was dialled; of too many only some', async () => {
    const { x, b, a, datapath } = mesh;
    under(closed());
    const before = datapath.counters();
    const heard: Denial[] = [];
    const stop = datapath.followDenials((denial) => heard.push(denial));
    try {
      // Those of the tests before are read first.
      await fromA(scripts.connect, [x.ip6, 8080]);
      await eventually('the refusal', () => heard.find(({ destination }) => destination.port === 8080));
      // The kernel tells of so many a second: those before may have used this second's up.
      await delay(1100);
      heard.length = 0;
      const earlier = datapath.counters();
      expect(earlier.deniedEgress - before.deniedEgress).toBe(1n);
      expect(await fromA(egress.udpFlood, [b.ip4, 4000, 500])).toBe(500);
      const after = datapath.counters();
      expect(after.deniedEgress - earlier.deniedEgress).toBe(500n);
      // A second later there is room again, and the rest is told as a number.
      await eventually('a record that tells of the others', async () => {
        await fromA(egress.udpFlood, [b.ip6, 4001, 1]);
        return heard.find(({ untold }) => untold > 0);
      });
      const told = heard.filter(({ destination }) => destination.port === 4000);
      expect(told.length).toBeGreaterThan(0);
      expect(told.length).toBeLessThanOrEqual(64);
      expect(told[0]).toMatchObject({ uid: a.uid, destination: { ip: b.ip4, port: 4000 }, protocol: 'udp' });
      const { deniedEgress, denialsUntold } = datapath.counters();
      expect(heard.length + Number(denialsUntold - earlier.denialsUntold)).toBe(
        Number(deniedEgress - earlier.deniedEgress),
      );
    } finally {
      stop();
    }
  });
});
