/** What applications in enrolled pods experience when they connect. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { dumpMap } from '../../src/datapath/inspect/maps.ts';
import { withMultipath } from './support/kernel.ts';
import { native, sh } from './support/lab.ts';
import { type Mesh, startMesh, stopMesh } from './support/mesh.ts';
import * as scripts from './support/scripts.ts';

let mesh: Mesh;
beforeAll(async () => {
  mesh = await startMesh({ sizes: { pods: 16, destinations: 64, flows: 1024, egress: 64, verdicts: 64 } });
});
afterAll(() => stopMesh(mesh));

const fromA = (script: string, arg: unknown): Promise<unknown> => mesh.lab.run(mesh.a, script, arg);

/** The application sees the address it dialled and its own; ztunnel knows what was dialled, and by whom. */
function expectCaptured(outcome: unknown, ip: string, port: number, own: string): void {
  expect(outcome).toMatchObject({
    peer: [ip, port],
    own: [own, expect.any(Number)],
    data: `captured ${ip.replace('::ffff:', '')} ${port} by pod 1`,
  });
}

describe('a connection of an enrolled pod into the mesh', () => {
  it('to a pod’s IPv4 address reaches ztunnel, while the application sees what it dialled', async () => {
    const { a, b } = mesh;
    expectCaptured(await fromA(scripts.connect, [b.ip4, 8080]), b.ip4, 8080, a.ip4);
  });

  it('to a pod’s IPv6 address does too', async () => {
    const { a, b } = mesh;
    expectCaptured(await fromA(scripts.connect, [b.ip6, 8080]), b.ip6, 8080, a.ip6);
  });

  it('to an IPv4 address through an IPv6 socket does too', async () => {
    const { a, b } = mesh;
    const mapped = `::ffff:${b.ip4}`;
    expectCaptured(await fromA(scripts.connect, [mapped, 8080]), mapped, 8080, `::ffff:${a.ip4}`);
  });

  it('to a Service’s address does too, in both families', async () => {
    const { a } = mesh;
    expectCaptured(await fromA(scripts.connect, ['10.96.0.10', 80]), '10.96.0.10', 80, a.ip4);
    expectCaptured(await fromA(scripts.connect, ['fd96::10', 80]), 'fd96::10', 80, a.ip6);
  });

  it('to another pod’s mesh port reaches ztunnel, which knows to refuse it', async () => {
    const { a, b } = mesh;
    expectCaptured(await fromA(scripts.connect, [b.ip4, 15008]), b.ip4, 15008, a.ip4);
  });

  it('works non-blocking, with connect() called again while it is on its way', async () => {
    const outcome = await fromA(scripts.connectNonBlocking, [mesh.b.ip4, 8080]);
    expect(outcome).toMatchObject({ codes: ['EINPROGRESS', 0, 'EISCONN'] });
    expectCaptured(outcome, mesh.b.ip4, 8080, mesh.a.ip4);
  });

  it('keeps the address and port the application bound before', async () => {
    const { a, b } = mesh;
    const outcome = await fromA(scripts.bindAndConnect, [b.ip4, 8080, a.ip4, 40_001]);
    expectCaptured(outcome, b.ip4, 8080, a.ip4);
    expect(outcome).toMatchObject({ own: [a.ip4, 40_001] });
    const unspecified = await fromA(scripts.bindAndConnect, [b.ip6, 8080, '::', 40_002]);
    expect(unspecified).toMatchObject({ own: [a.ip6, 40_002] });
    expectCaptured(unspecified, b.ip6, 8080, a.ip6);
  });

  it('cannot get past ztunnel by binding a loopback address', async () => {
    const { b } = mesh;
    const outcome = await fromA(scripts.bindAndConnect, [b.ip4, 8080, '127.0.0.1', 0]);
    expectCaptured(outcome, b.ip4, 8080, '127.0.0.1');
  });

  it('cannot get past ztunnel by moving its process to another cgroup, not even that of a pod outside', async () => {
    const { lab, a, b, x } = mesh;
    for (const cgroup of [x.cgroup, lab.hostCgroup]) {
      const outcome = await fromA(scripts.connectFromCgroup, [b.ip4, 8080, cgroup]);
      expectCaptured(outcome, b.ip4, 8080, a.ip4);
    }
  });

  it('is judged by the namespace its socket was opened in: from there it goes out', async () => {
    const { lab, a, b, x } = mesh;
    const fromOutside = await lab.run(x, scripts.connectFromNamespace, [b.ip4, 8080, a.netns]);
    expectCaptured(fromOutside, b.ip4, 8080, a.ip4);
    // Who can open a socket in another pod's namespace could as well run there: at b it is x, without an identity.
    expect(await fromA(scripts.connectFromNamespace, [b.ip4, 8080, x.netns])).toMatchObject({
      own: [x.ip4, expect.any(Number)],
      data: `plaintext ${b.ip4} 8080`,
    });
  });

  it('is captured with TCP Fast Open', async () => {
    const { a, b } = mesh;
    expectCaptured(await fromA(scripts.connectFastOpen, [b.ip4, 8080]), b.ip4, 8080, a.ip4);
  });

  withMultipath('is captured with Multipath TCP', async () => {
    const { b } = mesh;
    // getpeername() of a Multipath TCP socket shows ztunnel: the hook is asked about another socket than connect was.
    expect(await fromA(scripts.connectMultipath, [b.ip4, 8080])).toMatchObject({
      data: `captured ${b.ip4} 8080 by pod 1`,
    });
  });

  it('is told apart when one socket connects first here, then there', async () => {
    const { b, x } = mesh;
    const into = [b.ip4, 8080];
    const out = [x.ip4, 8080];
    expect(await fromA(scripts.connectTwice, [into, out])).toMatchObject([
      { peer: into, data: `captured ${b.ip4} 8080 by pod 1` },
      { peer: out, data: 'application x' },
    ]);
    expect(await fromA(scripts.connectTwice, [out, into])).toMatchObject([
      { peer: out, data: 'application x' },
      { peer: into, data: `captured ${b.ip4} 8080 by pod 1` },
    ]);
  });
});

describe('many connections at a time', () => {
  it('are told apart, and leave nothing in the kernel', async () => {
    const { b, lab } = mesh;
    const answers = await fromA(scripts.connectMany, [b.ip4, 20_000, 500]);
    expect(answers).toEqual(
      Array.from({ length: 500 }, (_, i) => `captured ${b.ip4} ${20_000 + i} by pod 1`),
    );
    expect(dumpMap(native, lab.pinRoot, 'flows')).toEqual([]);
  });
});

describe('while the kernel answers with SYN cookies', () => {
  it('connections are captured and admitted as always', async () => {
    const { a, b, lab, x } = mesh;
    const setCookies = (value: number): void => {
      for (const { netns } of [a, b]) sh(`nsenter --net=${netns} sysctl -qw net.ipv4.tcp_syncookies=${value}`);
    };
    setCookies(2);
    try {
      expectCaptured(await fromA(scripts.connect, [b.ip4, 8080]), b.ip4, 8080, a.ip4);
      expectCaptured(await fromA(scripts.connect, [b.ip6, 8080]), b.ip6, 8080, a.ip6);
      expect(await lab.run(lab.host, scripts.connect, [b.ip4, 8080])).toMatchObject({ data: 'application b' });
      expect(await lab.run(x, scripts.connect, [b.ip6, 8080])).toMatchObject({ data: `plaintext ${b.ip6} 8080` });
    } finally {
      setCookies(1);
    }
  });
});

describe('a connection of an enrolled pod elsewhere', () => {
  it('to a destination outside the mesh is left alone, in both families', async () => {
    const { a, x } = mesh;
    expect(await fromA(scripts.connect, [x.ip4, 8080])).toMatchObject({
      peer: [x.ip4, 8080],
      own: [a.ip4, expect.any(Number)],
      data: 'application x',
    });
    expect(await fromA(scripts.connect, [x.ip6, 8080])).toMatchObject({ data: 'application x' });
  });

  it.each(['127.0.0.1', '::1', '0.0.0.0', '::', '::ffff:127.0.0.1', 'own IPv4', 'own IPv6'])(
    'to itself at %s is left alone, but for the mesh’s ports, which are refused',
    async (name) => {
      const ip = name === 'own IPv4' ? mesh.a.ip4 : name === 'own IPv6' ? mesh.a.ip6 : name;
      expect(await fromA(scripts.connect, [ip, 8080])).toMatchObject({ data: 'application a' });
      for (const port of [15001, 15006, 15008]) {
        expect(await fromA(scripts.connect, [ip, port])).toEqual({ error: 'EPERM' });
      }
    },
  );
});

describe('a pod without an address of one family', () => {
  it('cannot reach the mesh over that family, but everything else', async () => {
    const { lab, a, b, x, datapath } = mesh;
    await lab.enrol(datapath, a, [a.ip4]);
    expect(await fromA(scripts.connect, [b.ip6, 8080])).toEqual({ error: 'EPERM' });
    expect(await fromA(scripts.connect, [x.ip6, 8080])).toMatchObject({ data: 'application x' });
    expectCaptured(await fromA(scripts.connect, [b.ip4, 8080]), b.ip4, 8080, a.ip4);
    await lab.enrol(datapath, a);
    expectCaptured(await fromA(scripts.connect, [b.ip6, 8080]), b.ip6, 8080, a.ip6);
  });
});

describe('what the programs count', () => {
  it('grows with what they do', async () => {
    const { b, x, datapath } = mesh;
    const before = datapath.counters();
    await fromA(scripts.connect, [b.ip4, 8080]);
    await fromA(scripts.connect, [x.ip4, 8080]);
    await fromA(scripts.connect, ['127.0.0.1', 15001]);
    const after = datapath.counters();
    expect(after.captured - before.captured).toBe(1n);
    expect(after.direct - before.direct).toBe(1n);
    expect(after.refusedMeshPort - before.refusedMeshPort).toBe(1n);
  });
});
