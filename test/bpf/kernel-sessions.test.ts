/** Services with session affinity: the kernel goes on with the sessions that ztunnel began, and with no other. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { setTimeout as delay } from 'node:timers/promises';
import { type IpAddress, parseIp, parsePort, type SocketAddress } from '../../src/base/ip.ts';
import { dumpMap } from '../../src/datapath/inspect/maps.ts';
import { type NodeName, type Service, serviceKey } from '../../src/model/mesh.ts';
import type { PolicyKey } from '../../src/model/policy.ts';
import type { MeshView } from '../../src/model/view.ts';
import { access, rule } from '../support/egress.ts';
import { at, meshOf, pod, service } from '../support/mesh-builder.ts';
import { native } from './support/lab.ts';
import { accepted, type Mesh, startAgent, startMesh, stopAgent, stopMesh } from './support/mesh.ts';
import * as scripts from './support/scripts.ts';

const sizes = { pods: 2, destinations: 64, flows: 1024, egress: 64, verdicts: 1024 };
const kernelPath = { node: 'node-a' as NodeName };
const hour = 3_600_000;

let mesh: Mesh;
beforeAll(async () => {
  mesh = await startMesh({ sizes, kernelPath });
  await mesh.lab.listen(mesh.b.netns, 8081, (socket) => socket.end('second port of b'));
});
afterAll(() => stopMesh(mesh));
beforeEach(() => {
  for (const { client, local } of accepted.splice(0)) mesh.datapath.kernelPath.dialler(client, local);
  // Takes back what was allowed.
  const change = { key: 'test/any' as PolicyKey, before: undefined, after: undefined };
  mesh.datapath.apply(viewOf([]), { ...noDiff, policies: [change] });
  for (const { client, service: dialled } of dumpMap(native, mesh.lab.pinRoot, 'sessions')) {
    mesh.datapath.sessions.forget({ client: parseIp(String(client)), dialled: at(String(dialled)) });
  }
});

const noDiff = { workloads: [], services: [], policies: [], peerAuthentications: [], access: [], nodes: [] };
const vips = { IPv4: '10.96.0.20', IPv6: 'fd96::20', other: '10.96.0.21' } as const;
const families = ['IPv4', 'IPv6'] as const;
type Family = (typeof families)[number];
const to = (ip: string, port = 80): SocketAddress => ({ ip: parseIp(ip), port: parsePort(port) });
const ipOf = (name: 'a' | 'b', family: Family): IpAddress => parseIp(mesh[name][family === 'IPv4' ? 'ip4' : 'ip6']);
const remote = { IPv4: '10.99.0.1', IPv6: 'fd99::1' } as const;

const viewOf = (services: readonly Service[], more: Partial<Parameters<typeof meshOf>[0]> = {}): MeshView =>
  meshOf({
    workloads: [
      ...(['a', 'b'] as const).map((name) => pod(`test/${name}`, { ips: [mesh[name].ip4, mesh[name].ip6] })),
      pod('test/remote', { ips: Object.values(remote), node: 'node-b' }),
    ],
    services,
    ...more,
  }).view;

const web = (ip: string, addresses: readonly string[], timeoutMs = hour): Service => ({
  ...service(
    'test/web',
    ip,
    '80:8080',
    addresses.map((address) => ({ address })),
  ),
  affinityTimeoutMs: timeoutMs,
});

const apply = (...services: readonly Service[]): unknown => mesh.datapath.apply(viewOf(services));
const both = (family: Family): Service => web(vips[family], [ipOf('b', family), remote[family]]);

/** ztunnel sends `a` there. */
const keep = (dialled: SocketAddress, endpoint: SocketAddress, client: IpAddress = parseIp(mesh.a.ip4)): boolean =>
  mesh.datapath.sessions.keep({ client, dialled }, endpoint);

const dial = (ip: string, port = 80): Promise<unknown> => mesh.lab.run(mesh.a, scripts.connect, [ip, port]);
const data = (text: string): unknown => expect.objectContaining({ data: text });
const toApplication = data('application b');
const captured = (ip: string, port = 80): unknown => data(`captured ${ip} ${port} by pod 1`);

/** From now on `a` reaches `b` there. */
async function allow(family: Family, port = 8080): Promise<void> {
  await mesh.lab.run(mesh.a, scripts.connect, [ipOf('b', family), port]);
  const last = accepted.at(-1);
  const dialler = last && mesh.datapath.kernelPath.dialler(last.client, last.local);
  if (last === undefined || dialler?.type !== 'pod') throw new Error('there was nothing to allow');
  const { generation } = mesh.datapath.kernelPath;
  mesh.datapath.kernelPath.allow(dialler.podId, last.client, last.local, mesh.b.uid, generation);
}

describe.each(families)('over %s a session', (family) => {
  const vip = vips[family];

  it('begins with ztunnel, and goes on in the kernel every time', async () => {
    apply(both(family));
    await allow(family);
    expect(await dial(vip)).toEqual(captured(vip));
    expect(keep(to(vip), to(ipOf('b', family), 8080), ipOf('a', family))).toBe(true);
    const before = mesh.datapath.counters();
    const { answers, peers } = (await mesh.lab.run(mesh.a, scripts.connectAgain, [vip, 80, 50])) as Answers;
    expect(answers).toEqual({ 'application b': 50 });
    expect(peers).toEqual({ [`${vip} 80`]: 50 });
    const after = mesh.datapath.counters();
    expect(after.kernelService - before.kernelService).toBe(50n);
    expect(after.captured).toBe(before.captured);
  });

  it('that leads elsewhere is ztunnel’s', async () => {
    apply(both(family));
    await allow(family);
    expect(keep(to(vip), to(remote[family], 8080), ipOf('a', family))).toBe(false);
    expect(await dial(vip)).toEqual(captured(vip));
  });

  it('is asked about when an endpoint of the node comes or goes, and not for one elsewhere', async () => {
    apply(both(family));
    await allow(family);
    keep(to(vip), to(ipOf('b', family), 8080), ipOf('a', family));
    apply(web(vip, [ipOf('b', family)]));
    expect(await dial(vip)).toEqual(toApplication);
    apply(web(vip, [ipOf('b', family), ipOf('a', family)]));
    expect(await dial(vip)).toEqual(captured(vip));
    // Confirmed.
    keep(to(vip), to(ipOf('b', family), 8080), ipOf('a', family));
    expect(await dial(vip)).toEqual(toApplication);
    apply(web(vip, [ipOf('a', family), remote[family]]));
    expect(await dial(vip)).toEqual(captured(vip));
    expect(keep(to(vip), to(ipOf('b', family), 8080), ipOf('a', family))).toBe(false);
  });
});

interface Answers {
  readonly answers: Readonly<Record<string, number>>;
  readonly peers: Readonly<Record<string, number>>;
}

const vip = vips.IPv4;
const near = (port = 8080): SocketAddress => to(mesh.b.ip4, port);
const idleMs = (): number =>
  mesh.datapath.sessions.find({ client: parseIp(mesh.a.ip4), dialled: to(vip) })?.idleMs ?? NaN;

it('each connection in the kernel prolongs it, and ztunnel can tell', async () => {
  apply(both('IPv4'));
  await allow('IPv4');
  keep(to(vip), near());
  await delay(1500);
  // A timer may be a millisecond early.
  expect(idleMs()).toBeGreaterThan(1490);
  const began = Date.now();
  expect(await dial(vip)).toEqual(toApplication);
  expect(idleMs()).toBeLessThanOrEqual(Date.now() - began + 1);
});

it('it ends when the client has made no connection for so long', async () => {
  apply(web(vip, [mesh.b.ip4, remote.IPv4], 300));
  await allow('IPv4');
  keep(to(vip), near());
  await delay(301);
  expect(await dial(vip)).toEqual(captured(vip));
  // The next one may begin at once.
  mesh.datapath.apply(viewOf([web(vip, [mesh.b.ip4, remote.IPv4], hour)]));
  keep(to(vip), near());
  expect(await dial(vip)).toEqual(toApplication);
});

it('it is of one port of one Service, and one client', async () => {
  const several: Service = {
    ...both('IPv4'),
    ports: [80, 81].map((port) => ({ name: String(port), port: parsePort(port), protocol: 'tcp' as const })),
    endpoints: [
      {
        address: parseIp(mesh.b.ip4),
        ports: new Map([
          [parsePort(80), parsePort(8080)],
          [parsePort(81), parsePort(8081)],
        ]),
        ready: true,
        serving: true,
        terminating: false,
      },
    ],
  };
  apply(several, { ...web(vips.other, [mesh.b.ip4]), key: serviceKey('test', 'other') });
  await allow('IPv4');
  await allow('IPv4', 8081);
  keep(to(vip, 81), near(8081));
  keep(to(vip), near(), parseIp('10.1.2.3'));
  expect(await dial(vip, 81)).toEqual(data('second port of b'));
  expect(await dial(vip)).toEqual(captured(vip));
  expect(await dial(vips.other)).toEqual(captured(vips.other));
});

it('it is nobody’s way around a verdict: what was not allowed is asked', async () => {
  apply(both('IPv4'));
  keep(to(vip), near());
  expect(await dial(vip)).toEqual(data(`plaintext ${mesh.b.ip4} 8080`));
});

it('it is no way to the pod itself, nor to one that has asked for HBONE since', async () => {
  apply(web(vip, [mesh.a.ip4, mesh.b.ip4]));
  expect(keep(to(vip), to(mesh.a.ip4, 8080))).toBe(true);
  expect(await dial(vip)).toEqual(data(`captured ${vip} 80 by pod 1, drew itself`));
  await allow('IPv4');
  keep(to(vip), near());
  // As it is for as long as the kernel is not told of the change.
  mesh.datapath.unenrol(mesh.b.uid);
  try {
    expect(await dial(vip)).toEqual(data(`captured ${vip} 80 by pod 1, drew kernel`));
  } finally {
    await mesh.lab.enrol(mesh.datapath, mesh.b);
  }
});

it('a pod that may not leave the mesh goes on with its session, too: it leads to a pod', async () => {
  const closed = access('test/closed', { egress: { default: 'deny', rules: [rule('allow', '10.200.0.0/16')] } });
  mesh.datapath.apply(viewOf([web(vip, [mesh.b.ip4, '192.0.2.77'])], { access: [closed] }));
  await allow('IPv4');
  keep(to(vip), near());
  expect(await dial(vip)).toEqual(toApplication);
});

const client = (i: number): IpAddress => parseIp(`10.2.0.${i}`);

it('where there is no room for one, the client is ztunnel’s, and no other client’s endpoint', async () => {
  apply(both('IPv4'));
  await allow('IPv4');
  const capacity = sizes.pods * 16;
  for (let i = 0; i < capacity; i++) expect(keep(to(vip), near(), client(i))).toBe(true);
  expect(keep(to(vip), near())).toBe(false);
  expect(await dial(vip)).toEqual(captured(vip));
  const occupancy = mesh.datapath.occupancy().find(({ map }) => map.name === 'sessions');
  expect([occupancy?.entries, occupancy?.capacity]).toEqual([capacity, capacity]);
  for (let i = 0; i < capacity; i++) mesh.datapath.sessions.forget({ client: client(i), dialled: to(vip) });
  expect(keep(to(vip), near())).toBe(true);
  expect(await dial(vip)).toEqual(toApplication);
});

it('a Service that has sessions no more is drawn from, and the other way round', async () => {
  const { affinityTimeoutMs: _, ...drawn } = web(vip, [mesh.b.ip4]);
  apply(web(vip, [mesh.b.ip4]));
  await allow('IPv4');
  expect(await dial(vip)).toEqual(captured(vip));
  apply(drawn);
  expect(await dial(vip)).toEqual(toApplication);
  apply(web(vip, [mesh.b.ip4]));
  expect(await dial(vip)).toEqual(captured(vip));
});

it('can be read in names', () => {
  apply(both('IPv4'));
  keep(to(vip), near());
  expect(dumpMap(native, mesh.lab.pinRoot, 'sessions')).toEqual([
    expect.objectContaining({
      client: mesh.a.ip4,
      clientName: 'test/a',
      service: `${vip}:80`,
      name: 'test/web',
      endpoint: `${mesh.b.ip4}:8080`,
      pod: 'test/b',
      idleSeconds: 0,
    }),
  ]);
  expect(dumpMap(native, mesh.lab.pinRoot, 'services')).toMatchObject([{ onKernelPath: 1, others: 0, sessions: '3600 s' }]);
});

it('goes on while no node program is there, and with the next one', async () => {
  apply(both('IPv4'));
  await allow('IPv4');
  keep(to(vip), near());
  stopAgent(mesh);
  expect(await dial(vip)).toEqual(toApplication);
  const view = viewOf([both('IPv4')]);
  await startAgent(mesh, { sizes, kernelPath }, view);
  expect(mesh.datapath.sessions.find({ client: parseIp(mesh.a.ip4), dialled: to(vip) })?.endpoint).toEqual(near());
  await allow('IPv4');
  expect(await dial(vip)).toEqual(toApplication);
});
