/** Connections to Services of which an endpoint takes the kernel path: who gets them, and what the application sees. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { parseIp, parsePort, type Port } from '../../src/base/ip.ts';
import { dumpMap } from '../../src/datapath/inspect/maps.ts';
import type { NamespaceAccess } from '../../src/model/access.ts';
import type { Service } from '../../src/model/mesh.ts';
import type { PolicyKey } from '../../src/model/policy.ts';
import type { MeshView } from '../../src/model/view.ts';
import { eventually } from '../netns/support/wait.ts';
import { access, rule } from '../support/egress.ts';
import { at, meshOf, pod, service } from '../support/mesh-builder.ts';
import { native } from './support/lab.ts';
import { accepted, type Mesh, startMesh, stopMesh } from './support/mesh.ts';
import { EndedConnections, forgetAccepted, kernelPath } from './support/kernel-path.ts';
import * as scripts from './support/scripts.ts';

const sizes = { pods: 4, destinations: 64, flows: 1024, egress: 64, verdicts: 1024 };

let mesh: Mesh;
const ended = new EndedConnections();
beforeAll(async () => {
  mesh = await startMesh({ sizes, kernelPath });
  await mesh.lab.listen(mesh.b.netns, 8081, (socket) => socket.end('second port of b'));
});
afterAll(async () => {
  ended.stop();
  await stopMesh(mesh);
});
beforeEach(() => {
  forgetAccepted(mesh);
  ended.listen(mesh);
  // Takes back what was allowed.
  const change = { key: 'test/any' as PolicyKey, before: undefined, after: undefined };
  mesh.datapath.apply(viewOf([]), { ...noDiff, policies: [change] });
  apply([]);
});

const noDiff = { workloads: [], services: [], policies: [], peerAuthentications: [], access: [], nodes: [] };

const remote = ['10.99.0.1', '10.99.0.2', 'fd99::1', 'fd99::2'];
const families = { IPv4: ['10.96.0.20', 'ip4', remote.slice(0, 2)], IPv6: ['fd96::20', 'ip6', remote.slice(2)] } as const;
type Family = keyof typeof families;
const vipOf = (family: Family): string => families[family][0];
const ipOf = (name: 'a' | 'b', family: Family): string => mesh[name][families[family][1]];

interface Options {
  readonly sameNode?: Readonly<Record<string, 'hbone'>>;
  readonly access?: readonly NamespaceAccess[];
}

/** `a`, `b`, pods of another node, and these Services. */
const viewOf = (services: readonly Service[], { sameNode = {}, access: objects = [] }: Options = {}): MeshView =>
  meshOf({
    workloads: [
      ...(['a', 'b'] as const).map((name) => ({
        ...pod(`test/${name}`, { ips: [mesh[name].ip4, mesh[name].ip6] }),
        ...(sameNode[name] !== undefined && { sameNode: sameNode[name] }),
      })),
      ...remote.map((ip, i) => pod(`test/remote-${i}`, { ips: [ip], node: 'node-b' })),
    ],
    services,
    access: objects,
  }).view;

const web = (family: Family, ...addresses: readonly string[]): Service =>
  service(
    'test/web',
    vipOf(family),
    '80:8080',
    addresses.map((address) => ({ address })),
  );

const apply = (services: readonly Service[], options?: Options): unknown =>
  mesh.datapath.apply(viewOf(services, options));

const dial = (from: 'a' | 'b' | 'x', ip: string, port = 80): Promise<unknown> =>
  mesh.lab.run(mesh[from], scripts.connect, [ip, port]);

/** ztunnel says yes to the connection it was handed last. */
function allowLast(): void {
  const last = accepted.at(-1);
  const { generation } = mesh.datapath.kernelPath;
  const dialler = last && mesh.datapath.kernelPath.dialler(last.client, last.local);
  if (last === undefined || dialler?.type !== 'pod') throw new Error('there was nothing to allow');
  mesh.datapath.kernelPath.allow(dialler.podId, last.client, last.local, mesh.b.uid, generation);
}

/** From now on `a` reaches `b` there. */
async function allow(family: Family, port = 8080): Promise<void> {
  await mesh.lab.run(mesh.a, scripts.connect, [ipOf('b', family), port]);
  allowLast();
}

interface Answers {
  readonly answers: Readonly<Record<string, number>>;
  readonly peers: Readonly<Record<string, number>>;
}
const dialAgain = (ip: string, count: number): Promise<Answers> =>
  mesh.lab.run(mesh.a, scripts.connectAgain, [ip, 80, count]) as Promise<Answers>;

const data = (text: string): unknown => expect.objectContaining({ data: text });
const toApplication = data('application b');
const captured = (ip: string, drawn = '', port = 80): unknown =>
  data(`captured ${ip} ${port} by pod 1${drawn === '' ? '' : `, drew ${drawn}`}`);

describe.each(['IPv4', 'IPv6'] as const)('over %s a Service', (family) => {
  const vip = vipOf(family);

  it('with an endpoint that takes the kernel path is asked about like that endpoint, and then carried', async () => {
    apply([web(family, ipOf('b', family))]);
    expect(await dial('a', vip)).toEqual(data(`plaintext ${ipOf('b', family)} 8080`));
    const { client, local } = accepted.at(-1) ?? { client: at('0.0.0.0:1'), local: at('0.0.0.0:1') };
    expect(mesh.datapath.kernelPath.dialler(client, local)).toMatchObject({
      type: 'pod',
      uid: mesh.a.uid,
      dialled: { ip: vip, port: 80 },
    });
    await allow(family);
    const before = mesh.datapath.counters();
    expect(await dial('a', vip)).toEqual({
      // What the application dialled, and its own address.
      peer: [vip, 80],
      own: [ipOf('a', family), expect.any(Number)],
      data: 'application b',
    });
    const after = mesh.datapath.counters();
    expect(after.kernelService - before.kernelService).toBe(1n);
    expect(after.captured).toBe(before.captured);
    const record = await eventually('the end of the connection', () => Promise.resolve(ended.all.at(-1)));
    expect(record).toMatchObject({
      destination: { ip: ipOf('b', family), port: 8080 },
      dialled: { ip: vip, port: 80 },
      sourceUid: mesh.a.uid,
    });
  });

  it('gives each endpoint its share: those here, those elsewhere, and the pod itself', async () => {
    apply([web(family, ...families[family][2], ipOf('a', family), ipOf('b', family))]);
    await allow(family);
    const { answers, peers } = await dialAgain(vip, 1000);
    const shares = {
      'application b': 250,
      [`captured ${vip} 80 by pod 1, drew itself`]: 250,
      [`captured ${vip} 80 by pod 1, drew other`]: 500,
    };
    expect(Object.keys(answers).toSorted()).toEqual(Object.keys(shares).toSorted());
    // Five times what chance usually makes of a thousand.
    for (const [answer, share] of Object.entries(shares)) {
      expect(Math.abs((answers[answer] ?? 0) - share)).toBeLessThan(80);
    }
    expect(peers).toEqual({ [`${vip} 80`]: 1000 });
  });

  it('loses an endpoint between two connections', async () => {
    apply([web(family, ipOf('b', family))]);
    await allow(family);
    expect(await dial('a', vip)).toEqual(toApplication);
    apply([web(family, families[family][2][0] ?? '')]);
    expect(await dial('a', vip)).toEqual(captured(vip));
    apply([]);
    expect(mesh.datapath.counters().kernelService).toBeGreaterThan(0n);
    expect(dumpMap(native, mesh.lab.pinRoot, 'endpoints')).toEqual([]);
    expect(dumpMap(native, mesh.lab.pinRoot, 'services')).toEqual([]);
  });

  it('that has none, or only the pod itself, is ztunnel’s', async () => {
    apply([web(family)]);
    expect(await dial('a', vip)).toEqual(captured(vip));
    apply([web(family, ipOf('a', family))]);
    expect(await dial('a', vip)).toEqual(captured(vip, 'itself'));
  });
});

describe('each endpoint', () => {
  it('is reached at its own port, and each port of the Service by itself', async () => {
    const [first, second, third] = [80, 81, 82].map(parsePort) as [Port, Port, Port];
    const several: Service = {
      ...web('IPv4', mesh.b.ip4),
      ports: [first, second, third].map((port) => ({ name: String(port), port, protocol: 'tcp' })),
      endpoints: [
        {
          address: parseIp(mesh.b.ip4),
          ports: new Map([
            [first, parsePort(8080)],
            [second, parsePort(8081)],
            // The mesh's own: nothing for the kernel path.
            [third, parsePort(15006)],
          ]),
          ready: true,
          serving: true,
          terminating: false,
        },
      ],
    };
    apply([several]);
    await allow('IPv4');
    await allow('IPv4', 8081);
    expect(await dial('a', '10.96.0.20', 80)).toEqual(toApplication);
    expect(await dial('a', '10.96.0.20', 81)).toEqual(data('second port of b'));
    expect(await dial('a', '10.96.0.20', 82)).toEqual(captured('10.96.0.20', '', 82));
    expect(await dial('a', '10.96.0.20', 83)).toEqual(captured('10.96.0.20', '', 83));
  });

  it('is nobody’s way around a verdict: what was not allowed is asked', async () => {
    apply([web('IPv4', mesh.b.ip4)]);
    await allow('IPv4', 8081);
    expect(await dial('a', '10.96.0.20')).toEqual(data(`plaintext ${mesh.b.ip4} 8080`));
  });

  it('that asks for HBONE is not carried, and neither is who asks for it', async () => {
    apply([web('IPv4', mesh.b.ip4)], { sameNode: { b: 'hbone' } });
    expect(await dial('a', '10.96.0.20')).toEqual(captured('10.96.0.20'));
    apply([web('IPv4', mesh.b.ip4)], { sameNode: { a: 'hbone' } });
    expect(await dial('a', '10.96.0.20')).toEqual(captured('10.96.0.20'));
  });

  it('that is not enrolled yet is ztunnel’s, which is told that it was one of these', async () => {
    apply([web('IPv4', mesh.b.ip4)]);
    mesh.datapath.unenrol(mesh.b.uid);
    try {
      expect(await dial('a', '10.96.0.20')).toEqual(captured('10.96.0.20', 'kernel'));
    } finally {
      await mesh.lab.enrol(mesh.datapath, mesh.b);
    }
  });
});

it('a pod that may not leave the mesh has a Service drawn by ztunnel that does', async () => {
  const closed = access('test/closed', { egress: { default: 'deny', rules: [rule('allow', '10.200.0.0/16')] } });
  const mixed = web('IPv4', mesh.b.ip4, '192.0.2.77');
  apply([mixed], { access: [closed] });
  const { answers } = await dialAgain('10.96.0.20', 20);
  expect(answers).toEqual({ 'captured 10.96.0.20 80 by pod 1': 20 });
  // Inside the mesh altogether, it is nothing of egress's.
  apply([web('IPv4', mesh.b.ip4)], { access: [closed] });
  await allow('IPv4');
  expect(await dial('a', '10.96.0.20')).toEqual(toApplication);
});

it('a Service for which there is no room is ztunnel’s, and the others are not', async () => {
  const ports = Array.from({ length: sizes.pods * 16 + 1 }, (_, i) => parsePort(1000 + i));
  const huge: Service = {
    ...web('IPv4', mesh.b.ip4),
    ports: ports.map((port) => ({ name: String(port), port, protocol: 'tcp' })),
    endpoints: [
      {
        address: parseIp(mesh.b.ip4),
        ports: new Map(ports.map((port) => [port, parsePort(8080)])),
        ready: true,
        serving: true,
        terminating: false,
      },
    ],
  };
  apply([huge]);
  await allow('IPv4');
  const occupancy = mesh.datapath.occupancy().filter(({ map }) => map.name === 'services' || map.name === 'endpoints');
  expect(occupancy.map(({ entries, capacity }) => [entries, capacity])).toEqual([
    [sizes.pods * 16, sizes.pods * 16],
    [sizes.pods * 16, sizes.pods * 16],
  ]);
  expect(mesh.datapath.servicesLeftOut()).toBe(1);
  expect(await dial('a', '10.96.0.20', 1000)).toEqual(toApplication);
  const last = 1000 + sizes.pods * 16;
  expect(await dial('a', '10.96.0.20', last)).toEqual(captured('10.96.0.20', '', last));
});

it('what it draws from can be read in names', () => {
  apply([web('IPv4', mesh.b.ip4, '10.99.0.1')]);
  expect(dumpMap(native, mesh.lab.pinRoot, 'services')).toEqual([
    expect.objectContaining({ service: '10.96.0.20:80', name: 'test/web', onKernelPath: 1, others: 1 }),
  ]);
  expect(dumpMap(native, mesh.lab.pinRoot, 'endpoints')).toEqual([
    expect.objectContaining({ name: 'test/web', endpoint: `${mesh.b.ip4}:8080`, pod: 'test/b' }),
  ]);
});
