/** Accelerated connections: every byte arrives, in its order and counted; and who gets them (docs/acceleration.md). */
import { release } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { endAccelerated } from '../../src/datapath/acceleration/end.ts';
import { tryAcceleration } from '../../src/datapath/acceleration/trial.ts';
import type { CounterName } from '../../src/datapath/abi/counters.ts';
import type { KernelPathScope } from '../../src/datapath/desired.ts';
import { dumpMap } from '../../src/datapath/inspect/maps.ts';
import { listPrograms } from '../../src/datapath/inspect/programs.ts';
import type { EndedConnection } from '../../src/datapath/kernel-path/ended-batch.ts';
import { findLeftovers, ownedBy, uninstallDatapath } from '../../src/datapath/uninstall.ts';
import type { NodeName } from '../../src/model/mesh.ts';
import { eventually, patience } from '../netns/support/wait.ts';
import * as scripts from './support/acceleration-scripts.ts';
import { describeAccelerated, itAccelerates } from './support/kernel.ts';
import { EndedConnections } from './support/kernel-path.ts';
import { native, objectPath, sh } from './support/lab.ts';
import { accepted, type Mesh, startAgent, startMesh, stopAgent, stopMesh, wholeMesh } from './support/mesh.ts';
import { connect } from './support/scripts.ts';

type Mode = 'off' | 'auto' | 'forced';

const sizes = { pods: 4, destinations: 16, flows: 96, egress: 64, verdicts: 1024 };
/** What fits into `ends`. */
const mostAccelerated = 12;

const scope = (mode: Mode): KernelPathScope => ({
  node: 'node-a' as NodeName,
  ...(mode !== 'off' && { accelerate: mode }),
});

const promptPort = 8090;
/** Its sockets are made when the first bytes are there, so that no end is there for these. */
const latePort = 8091;

let mesh: Mesh;
const ended = new EndedConnections();
const letGoOf: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  mesh = await startMesh({ sizes, kernelPath: scope('off') });
  letGoOf.push(await mesh.lab.hold(mesh.b, scripts.answer, [promptPort, 0]));
  letGoOf.push(await mesh.lab.hold(mesh.b, scripts.answer, [latePort, 5]));
  ended.listen(mesh);
});
afterAll(async () => {
  for (const end of letGoOf) await end();
  ended.stop();
  await stopMesh(mesh);
});

async function become(mode: Mode, wishes: Readonly<Record<string, boolean>> = {}): Promise<void> {
  ended.stop();
  stopAgent(mesh);
  await startAgent(mesh, { sizes, kernelPath: scope(mode) });
  ended.goOn(mesh);
  mesh.datapath.apply(wholeMesh(mesh, {}, wishes));
  await allow(promptPort);
  await allow(latePort);
  ended.all.length = 0;
}

/** From now on `a` reaches `b` on this port: ztunnel was asked, and said yes. */
async function allow(port: number): Promise<void> {
  const { kernelPath } = mesh.datapath;
  await mesh.lab.run(mesh.a, connect, [mesh.b.ip4, port]);
  for (const { client, local } of accepted.splice(0)) {
    const dialler = kernelPath.dialler(client, local);
    if (dialler.type !== 'pod') throw new Error(`it was ${dialler.type}`);
    kernelPath.allow(dialler.podId, client, local, mesh.b.uid, kernelPath.generation);
  }
}

/** What an action makes the counters count. */
async function counted(action: () => Promise<unknown>): Promise<(name: CounterName) => number> {
  const before = mesh.datapath.counters();
  await action();
  const after = mesh.datapath.counters();
  return (name) => Number(after[name] - before[name]);
}

const run = (script: string, ...more: readonly unknown[]): Promise<unknown> =>
  mesh.lab.run(mesh.a, script, [mesh.b.ip4, ...more]);

const isAccelerated = (): true | undefined => mesh.datapath.kernelPath.connections().some((c) => c.isAccelerated) || undefined;

const everybody = { a: true, b: true };

const [major = 0, minor = 0] = release().split('.').map(Number);
const kernel = major * 1000 + minor;

/** An emulated kernel takes minutes for what others do in seconds. */
const connections = patience > 1 ? 300 : 2000;

type Setting = readonly [title: string, mode: Mode, wishes: Readonly<Record<string, boolean>>, accelerated: number];

const arrives = (_: string, mode: Mode, wishes: Setting[2], accelerated: number): void => {
  it(`has every byte arrive on ${connections} connections, on each of both sides, in its order`, async () => {
    await become(mode, wishes);
    const count = await counted(async () => {
      expect(await run(scripts.load, [promptPort, latePort], connections, 1)).toEqual({ right: connections, wrong: [] });
    });
    expect(count('kernel')).toBe(connections);
    expect(count('accelerated') + count('accelerationFull')).toBe(accelerated);
    // The load has what it is about: ends that come too late, and bulk.
    expect(count('accelerationLate') > connections / 4).toBe(accelerated > 0);
    expect(count('accelerationBulk') > connections / 200).toBe(accelerated > 0);
    expect(count('accelerationBroken')).toBe(0);
    await eventually('the end of the last one', () =>
      Promise.resolve(dumpMap(native, mesh.lab.pinRoot, 'accelerated').length === 0 || undefined),
    );
  }, 120_000 * patience);
};

describe.each<Setting>([['off', 'off', {}, 0]])('switched %s', arrives);
describeAccelerated.each<Setting>([
  ['auto, and both pods ask for it', 'auto', everybody, connections],
  ['forced', 'forced', {}, connections],
])('switched %s', arrives);

describeAccelerated('blocking sockets', () => {
  const pairs = 60;
  const eagains = async (): Promise<number> => {
    const outcome = (await run(scripts.halfCloseWhileReading, promptPort, pairs)) as { EAGAIN: number };
    return outcome.EAGAIN;
  };

  it('never see EAGAIN in auto, unless their pods ask for acceleration', async () => {
    await become('auto');
    const count = await counted(async () => expect(await eagains()).toBe(0));
    expect(count('accelerated')).toBe(0);
  });

  it('see it if they are accelerated, which is why nobody is unasked', async () => {
    await become('forced');
    expect(await eagains()).toBeGreaterThan(0);
  });
});

describeAccelerated('an application that looks closely', () => {
  const asOnTcp = {
    MSG_WAITALL: 6,
    splice: 3,
    FIONREAD: 3,
    'SO_RCVLOWAT, poll': false,
    'SO_RCVLOWAT, recv': 10,
    MSG_TRUNC: ['\u0000\u0000', 'c'],
    MSG_OOB: 'abcd',
    TCP_INFO: 3,
    // These are the same everywhere.
    poll: [['POLLOUT'], ['POLLIN', 'POLLOUT'], ['POLLOUT'], ['POLLIN', 'POLLOUT', 'POLLRDHUP', 'POLLHUP'], 0],
    MSG_PEEK: ['ab', 'abc'],
    SO_RCVTIMEO: ['EAGAIN', true],
    SHUT_RD: 0,
  };

  it('sees TCP where nothing is accelerated', async () => {
    await become('off');
    expect(await run(scripts.lookClosely, promptPort)).toEqual(asOnTcp);
  }, 30_000 * patience);

  it('sees what docs/acceleration.md lists where it is, and nothing else', async () => {
    await become('forced');
    const seen = await run(scripts.lookClosely, promptPort);
    expect(seen).toEqual({
      ...asOnTcp,
      MSG_WAITALL: 3,
      splice: 'EAGAIN',
      FIONREAD: kernel >= 6012 ? 3 : 0,
      'SO_RCVLOWAT, poll': true,
      'SO_RCVLOWAT, recv': 3,
      MSG_TRUNC: ['ab', 'c'],
      MSG_OOB: 'ab!cd',
      TCP_INFO: 0,
    });
  }, 30_000 * patience);
});

const none = async (): Promise<void> => {
  const count = await counted(() => run(scripts.sendAndHalfClose, promptPort, 1000));
  expect([count('accelerated'), count('acceleratedBytes')]).toEqual([0, 0]);
  expect((await endOfOne()).accelerated).toBe(false);
};

describeAccelerated('nobody is accelerated', () => {
  it.each(['a', 'b'])('in auto, where only %s asks for it', async (name) => {
    await become('auto', { [name]: true });
    await none();
  });

  it.each(['a', 'b'])('in forced, where %s objects', async (name) => {
    await become('forced', { [name]: false });
    await none();
  });

  it('where a connection is ztunnel’s to judge', async () => {
    await become('forced');
    const count = await counted(() => mesh.lab.run(mesh.a, connect, [mesh.b.ip4, 9999]));
    expect([count('kernelAsked'), count('accelerated')]).toEqual([1, 0]);
    expect(dumpMap(native, mesh.lab.pinRoot, 'ends')).toEqual([]);
    accepted.length = 0;
  });
});

const endOfOne = (): Promise<EndedConnection> =>
  eventually('the end of the connection', () => Promise.resolve(ended.all.at(0)));

describeAccelerated('an accelerated connection', () => {
  beforeEach(() => become('forced'));


  it('has its bytes counted, in its record and in all', async () => {
    const count = await counted(async () => {
      expect(await run(scripts.sendAndHalfClose, promptPort, 1000)).toBe(true);
    });
    expect(count('acceleratedBytes')).toBe(9 + 1000 + 32 + 100);
    expect(await endOfOne()).toMatchObject({ bytesSent: 9 + 1000, accelerated: true });
    // One less where the server's end came together with its last bytes, of which the kernel does not tell.
    expect([131, 132]).toContain((await endOfOne()).bytesReceived);
  });

  it('goes over to TCP when it turns out to be bulk, and not a byte is lost or counted twice', async () => {
    const count = await counted(async () => {
      expect(await run(scripts.sendAndHalfClose, promptPort, 3_000_000)).toBe(true);
    });
    expect(count('accelerationBulk')).toBe(1);
    expect(count('acceleratedBytes')).toBeLessThan(300_000);
    expect(await endOfOne()).toMatchObject({ bytesSent: 3_000_009 });
  });

  it('stays with TCP for good in the direction that sent before the other end was there', async () => {
    const count = await counted(async () => {
      expect(await run(scripts.sendAndHalfClose, latePort, 1000)).toBe(true);
    });
    expect(count('accelerationLate')).toBe(1);
    expect(count('acceleratedBytes')).toBe(132);
  });

  it('stays with TCP where bytes were under way before it stood', async () => {
    const count = await counted(async () => {
      expect(await run(scripts.sendBeforeConnected, promptPort)).toBe(20);
    });
    expect(count('accelerationLate')).toBe(20);
  });

  it('is cut on both sides, and then carries nothing, whatever they try', async () => {
    const outcome = run(scripts.echoUntilCut, promptPort, 20);
    await eventually('an accelerated connection', () => Promise.resolve(isAccelerated()));
    await mesh.datapath.cut(mesh.datapath.kernelPath.connections());
    const { first, then } = (await outcome) as { first: unknown; then: unknown[] };
    expect(['ECONNABORTED', 'ECONNRESET', 'EPIPE', 'EACCES']).toContain(first);
    expect(then.filter((one) => typeof one === 'number')).toEqual([]);
    const open = `ip netns exec ${mesh.b.netns.split('/').at(-1)} ss -Htn state established sport = :${promptPort}`;
    expect(sh(open)).toBe('');
  });

  it('goes on by TCP when acceleration is switched off', async () => {
    const outcome = run(scripts.echoUntilCut, promptPort, 20);
    await eventually('an accelerated connection', () => Promise.resolve(isAccelerated()));
    await become('off');
    const echoed = mesh.datapath.kernelPath.connections();
    expect(echoed.map((one) => one.isAccelerated)).toEqual([true]);
    const count = await counted(() => delay(100));
    expect(count('acceleratedBytes')).toBe(0);
    await mesh.datapath.cut(echoed);
    // It had gone on until then.
    expect(await outcome).toMatchObject({ first: expect.stringMatching(/^(ECONN|EPIPE)/) as unknown });
  });

  it('stops who sends to somebody that does not read, in time', async () => {
    expect(await run(scripts.sendUnread, promptPort)).toBeLessThan(16_000_000);
  });

  it('tells who goes on sending that the other end has closed, as TCP does', async () => {
    const count = await counted(async () => {
      expect(['EPIPE', 'ECONNRESET']).toContain(await run(scripts.sendAfterClose, promptPort));
    });
    expect([count('accelerated'), count('accelerationBroken')]).toEqual([1, 0]);
  });

  it('is one of as many as there is room for; the others are carried by TCP', async () => {
    await eventually('the end of all others', () =>
      Promise.resolve(dumpMap(native, mesh.lab.pinRoot, 'ends').length === 0 || undefined),
    );
    const count = await counted(async () => {
      const letGo = await mesh.lab.hold(mesh.a, scripts.holdEchoes, [mesh.b.ip4, promptPort, mostAccelerated + 3]);
      await letGo();
    });
    expect([count('accelerated'), count('accelerationFull')]).toEqual([mostAccelerated, 3]);
  });
});

const shown = (): unknown => listPrograms(native, mesh.lab.pinRoot).find(({ program }) => program === 'mesh_sk_msg');

itAccelerates('a trial on this kernel finds every byte', async () => {
  const { fault, pairs } = await tryAcceleration(native, objectPath);
  expect(fault).toBeUndefined();
  expect(pairs).toBeGreaterThan(10);
});

it('a trial that cannot be made says why', async () => {
  expect((await tryAcceleration(native, '/nowhere.o')).fault).toContain('/nowhere.o');
});

itAccelerates('the program is shown with the others where it is used', async () => {
  await become('forced');
  expect(shown()).toMatchObject({ attached: true, target: 'map ends' });
  await become('off');
  expect(shown()).toBeUndefined();
});

describeAccelerated('uninstalling a node that accelerates', () => {
  it('leaves nothing, and ends the accelerated connections that are open', async () => {
    await become('forced');
    const outcome = run(scripts.echoUntilCut, promptPort, 20);
    await eventually('an accelerated connection', () => Promise.resolve(isAccelerated()));
    const letGo = await mesh.lab.hold(mesh.a, scripts.holdEchoes, [mesh.b.ip4, promptPort, 3]);
    ended.stop();
    stopAgent(mesh);
    const owned = ownedBy(native, [mesh.lab.pinRoot]);
    expect(await endAccelerated(native, mesh.lab.pinRoot)).toBe(4);
    expect(await outcome).toMatchObject({ first: expect.stringMatching(/^(ECONN|EPIPE)/) as unknown });
    uninstallDatapath(native, mesh.lab.pinRoot);
    expect(await findLeftovers(native, [mesh.lab.pinRoot], owned)).toEqual([]);
    await letGo();
  });
});
