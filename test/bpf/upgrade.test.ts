/**
 * From programs of one layout to those of another, while connections are open between pods that the kernel carries: none is
 * cut, none forgotten, and what waited for ztunnel does not pass for a stranger's.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { parseIp } from '../../src/base/ip.ts';
import type { DatapathOptions } from '../../src/datapath/datapath.ts';
import { dumpMap } from '../../src/datapath/inspect/maps.ts';
import type { Dialler, KernelConnection } from '../../src/datapath/kernel-path/kernel-path.ts';
import type { NativeBinding } from '../../src/native/binding.ts';
import { eventually, until } from '../netns/support/wait.ts';
import { at, meshOf, pod, service as serviceOf } from '../support/mesh-builder.ts';
import { itAccelerates } from './support/kernel.ts';
import { EndedConnections, kernelPath } from './support/kernel-path.ts';
import { native } from './support/lab.ts';
import { accepted, enrolBoth, type Mesh, startMesh, stopAgent, stopMesh, waiting, wholeMesh } from './support/mesh.ts';
import { otherObject } from './support/other-objects.ts';
import { olderVersion } from './support/older-version.ts';
import * as scripts from './support/scripts.ts';

const sizes = { pods: 8, destinations: 16, flows: 128, egress: 64, verdicts: 1024 };
const echoPort = 9000;

let mesh: Mesh;
let older: Partial<DatapathOptions>;
const ended = new EndedConnections();

beforeAll(async () => {
  mesh = await startMesh({ sizes, kernelPath });
  await mesh.lab.listen(mesh.b.netns, echoPort, (socket) => socket.on('data', (bytes) => socket.write(bytes)));
  stop();
  const objectPath = otherObject('older', mesh.lab.scratch());
  older = { objectPath, native: olderVersion(objectPath) };
});
afterAll(() => stopMesh(mesh));

/** Programs in force as they were before, and a verdict for `echoPort`. */
async function install(before: Partial<DatapathOptions>): Promise<void> {
  mesh.lab.removePins();
  await begin(before);
  bringUp();
  await allow();
}
afterEach(() => {
  stop();
  for (const list of [accepted, waiting, ended.all]) list.length = 0;
});

function stop(): void {
  ended.stop();
  if (mesh.running) stopAgent(mesh);
}

/** An agent that has found its pods; if its maps are new, the programs before are in force. */
async function begin(options: Partial<DatapathOptions> = {}): Promise<void> {
  mesh.datapath = await mesh.lab.open({ sizes, kernelPath, ...options });
  mesh.running = true;
  ended.goOn(mesh);
  await enrolBoth(mesh);
  mesh.datapath.apply(wholeMesh(mesh));
}

const bringUp = (): void => mesh.datapath.activate();

const earlierPins = (): readonly string[] => readdirSync(mesh.lab.pin('earlier', ''));
const finished = (): Promise<void> => until('all to be taken over', () => earlierPins().length === 0);

/** Lets ztunnel say yes to what it was handed last. */
async function allow(): Promise<void> {
  await mesh.lab.run(mesh.a, scripts.connect, [mesh.b.ip4, echoPort]);
  expect(answer(lastOf(accepted.splice(0))).type).toBe('pod');
}

function answer({ client, local }: (typeof accepted)[number]): Dialler {
  const { kernelPath: path } = mesh.datapath;
  const dialler = path.dialler(client, local);
  if (dialler.type === 'pod') path.allow(dialler.podId, client, local, mesh.b.uid, path.generation);
  return dialler;
}

function lastOf<T>(list: readonly T[]): T {
  const last = list.at(-1);
  if (last === undefined) throw new Error('ztunnel accepted nothing');
  return last;
}

const exchange = (count: number, rounds: number): Promise<() => Promise<string>> =>
  mesh.lab.hold(mesh.a, scripts.exchange, [mesh.b.ip4, echoPort, count, rounds]);

const open = (): readonly KernelConnection[] =>
  mesh.datapath.kernelPath.connections().filter(({ isAdmitted }) => isAdmitted);
const identities = (connections: readonly KernelConnection[]): unknown =>
  connections
    .map(({ cookie, source, sourcePodId, sourceUid, destinationUid, openedAt }) =>
      ({ cookie, source, sourcePodId, sourceUid, destinationUid, openedAt }))
    .toSorted((one, other) => Number(one.cookie - other.cookie));

const heard = (count: number): Promise<void> => until(`${count} ends`, () => ended.all.length >= count);

describe.each([
  ['the layout', true],
  ['only the size of the records’ map', false],
] as const)('an upgrade that changes %s', (_what, isOtherLayout) => {
  const next = (): Partial<DatapathOptions> => (isOtherLayout ? {} : { sizes: { ...sizes, flows: 256 } });
  const earlier = (): Partial<DatapathOptions> => (isOtherLayout ? older : {});
  beforeEach(() => install(earlier()));

  it('keeps open connections, with whose they are, under traffic', async () => {
    const started = Date.now();
    const release = await exchange(20, 60);
    const opened = open();
    expect(opened).toHaveLength(20);
    stop();
    await begin(next());
    expect(identities(open())).toEqual(identities(opened));
    bringUp();
    expect(identities(open())).toEqual(identities(opened));
    await finished();
    expect(identities(open())).toEqual(identities(opened));
    expect(await release()).toContain('{"bad": 0}');
    const lived = Date.now() - started;
    await heard(20);
    expect(ended.all).toHaveLength(20);
    for (const { sourceUid, bytesSent, bytesReceived, durationMs } of ended.all) {
      expect({ sourceUid, bytesSent }).toEqual({ sourceUid: mesh.a.uid, bytesSent: 6000 });
      // One less where the server's end came together with its last bytes.
      expect([5999, 6000]).toContain(bytesReceived);
      expect(durationMs).toBeGreaterThan(60 * 20);
      expect(durationMs).toBeLessThanOrEqual(lived);
    }
    expect(open()).toEqual([]);
  });

  itAccelerates('knows every byte of accelerated ones, which go on by TCP', async () => {
    stop();
    const accelerate = { kernelPath: { ...kernelPath, accelerate: 'forced' as const } };
    await install({ ...earlier(), ...accelerate });
    const release = await exchange(10, 60);
    const gone = await exchange(3, 3);
    await until('the short way to be taken', () => mesh.datapath.counters().acceleratedBytes > 5_000n);
    stop();
    await begin({ ...next(), ...accelerate });
    bringUp();
    await gone();
    await finished();
    expect(open().map(({ isAccelerated }) => isAccelerated)).toEqual(Array(10).fill(true));
    const { acceleratedBytes } = mesh.datapath.counters();
    expect(await release()).toContain('{"bad": 0}');
    await heard(13);
    // Of the two recorders that may tell of an end, each knew all bytes.
    const told = ended.all.map(({ bytesSent, bytesReceived }) => [bytesSent, Math.ceil(bytesReceived / 100) * 100]);
    expect(told.flat().toSorted((a, b) => a - b)).toEqual([...Array(6).fill(300), ...Array(20).fill(6000)]);
    expect(ended.all.filter(({ accelerated }) => accelerated)).toHaveLength(13);
    expect(mesh.datapath.counters().acceleratedBytes).toBe(acceleratedBytes);
    await until('their records to go', () => dumpMap(native, mesh.lab.pinRoot, 'accelerated').length === 0);
  });

  it('can end them afterwards', async () => {
    const release = await exchange(2, 100);
    stop();
    await begin(next());
    bringUp();
    const [doomed] = open();
    if (doomed === undefined) throw new Error('no connection is known');
    await mesh.datapath.cut([doomed]);
    await heard(1);
    expect(ended.all).toMatchObject([{ cookie: doomed.cookie, sourceUid: mesh.a.uid }]);
    expect(open()).toHaveLength(1);
    expect(await release()).not.toContain('{"bad": 0}');
  });

  it('tells of what ended while nobody was there, and before it was in charge', async () => {
    const releases = [await exchange(1, 1), await exchange(1, 1)];
    stop();
    await releases[0]?.();
    await begin(next());
    await releases[1]?.();
    bringUp();
    await heard(2);
    await finished();
    expect(ended.all.map(({ bytesSent }) => bytesSent)).toEqual([100, 100]);
    expect(open()).toEqual([]);
  });

  it('knows whose those are that wait for ztunnel', async () => {
    const releases: (() => Promise<string>)[] = [];
    const hold = async (ip: string, port: number): Promise<void> => {
      releases.push(await mesh.lab.hold(mesh.a, scripts.holdConnections, [ip, port, 1]));
    };
    const accepting = async (list: readonly unknown[], ip: string, port: number): Promise<void> => {
      const before = list.length;
      await hold(ip, port);
      await until('ztunnel to accept', () => list.length > before);
    };
    const { b, a } = mesh;
    const asked: (typeof accepted)[number][] = [];
    const ask = async (): Promise<void> => {
      await accepting(accepted, b.ip4, 7777);
      asked.push(lastOf(accepted));
    };
    const whose = ({ client, local }: (typeof accepted)[number]): unknown => mesh.datapath.kernelPath.dialler(client, local);
    const isA = { type: 'pod', uid: a.uid };
    await ask();
    await ask();
    stop();
    await ask();
    // A port that the Service does not have is ztunnel's: there is no endpoint to draw.
    await accepting(waiting, '10.96.0.10', 81);
    await accepting(waiting, '10.96.0.10', 81);
    const dialled = [...waiting];
    await begin(next());
    await ask();
    const [first, second, third, fourth] = asked;
    if (!first || !second || !third || !fourth) throw new Error('they were not asked about');
    const original = ({ client, local }: (typeof waiting)[number]): unknown =>
      mesh.datapath.originalDestination(client, local)?.destination;
    const service = { ip: '10.96.0.10', port: 81 };
    expect(dialled.slice(0, 1).map(original)).toEqual([service]);
    expect(whose(first)).toMatchObject(isA);
    bringUp();
    expect(whose(second)).toMatchObject(isA);
    expect(dialled.slice(1).map(original)).toEqual([service]);
    await finished();
    expect([third, fourth].map(whose)).toEqual([expect.objectContaining(isA), expect.objectContaining(isA)]);
    expect(dialled.map(original)).toEqual([undefined, undefined]);
    for (const release of releases) await release();
  });

  it('goes on with clients’ sessions, once ztunnel has confirmed each', async () => {
    const sticky = {
      ...serviceOf('test/sticky', '10.96.0.30', '80:8080', [{ address: mesh.b.ip4 }]),
      affinityTimeoutMs: 3_600_000,
    };
    const session = { client: parseIp(mesh.a.ip4), dialled: at('10.96.0.30:80') };
    const endpoint = at(`${mesh.b.ip4}:8080`);
    const apply = (): unknown =>
      mesh.datapath.apply(
        meshOf({
          workloads: [mesh.a, mesh.b].map(({ name, ip4, ip6 }) => pod(`test/${name}`, { ips: [ip4, ip6] })),
          services: [sticky],
        }).view,
      );
    const dial = (): Promise<unknown> => mesh.lab.run(mesh.a, scripts.connect, ['10.96.0.30', 80]);
    const inKernel = expect.objectContaining({ data: expect.stringMatching(/^plaintext .* 8080$/) });
    apply();
    expect(mesh.datapath.sessions.keep(session, endpoint)).toBe(true);
    expect(await dial()).toEqual(inKernel);
    stop();
    expect(await dial()).toEqual(inKernel);
    await begin(next());
    apply();
    bringUp();
    expect(mesh.datapath.sessions.find(session)).toEqual({ endpoint, idleMs: expect.any(Number) });
    // `begin` knew nothing of the Service: even in the same maps its entry is another one.
    expect(await dial()).toEqual(expect.objectContaining({ data: 'captured 10.96.0.30 80 by pod 1' }));
    expect(mesh.datapath.sessions.keep(session, endpoint)).toBe(true);
    expect(await dial()).toEqual(inKernel);
    await finished();
  });

  it('loses none and leaves none behind that come and go meanwhile', async () => {
    const load = [1, 2, 3].map(() => mesh.lab.run(mesh.a, comeAndGo, [mesh.b.ip4, echoPort, 1.5]));
    await until('connections to come and go', () => ended.all.length > 10);
    const before = ended.all.length;
    stop();
    await begin(next());
    const asked = new Set<string>();
    const answering = setInterval(() => accepted.splice(0).forEach((one) => asked.add(answer(one).type)), 1);
    await delay(200);
    bringUp();
    const outcomes = (await Promise.all(load)) as { readonly done: number; readonly errors: readonly string[] }[];
    await finished();
    // What was allowed last may have been taken back since.
    await eventually('the pair to be carried again', async () => {
      const { errors } = (await briefly()) as { readonly errors: readonly string[] };
      return errors.length === 0 || undefined;
    });
    clearInterval(answering);
    // None passed for a stranger's, whoever recorded it.
    expect([...asked].filter((type) => type !== 'pod')).toEqual([]);
    const done = outcomes.reduce((sum, outcome) => sum + outcome.done, 0);
    expect(done).toBeGreaterThan(before);
    // Where old programs and new ones have one half each, a connection in the making is refused.
    expect(outcomes.flatMap(({ errors }) => errors).filter((error) => !refusals.has(error))).toEqual([]);
    expect(new Set(ended.all.map(({ cookie }) => cookie)).size).toBe(ended.all.length);
    expect(open()).toEqual([]);
    expect(await briefly()).toMatchObject({ errors: [] });
  });
});

/** EPERM: nobody takes its records out while there is no agent, until the pod has its share of them. */
const refusals = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPERM', 'plaintext', 'captured', 'no']);

const briefly = (): Promise<unknown> => mesh.lab.run(mesh.a, comeAndGo, [mesh.b.ip4, echoPort, 0.1]);

/** Connects to `[ip, port]`, exchanges a word and closes, for so many seconds; what was not an echo is told. */
const comeAndGo = `
import time
ip, port, seconds = arg
done, errors, end = 0, [], time.time() + seconds
while time.time() < end:
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    s.settimeout(5)
    try:
        s.connect((ip, port))
        s.sendall(b'word')
        got = s.recv(100).decode()
        if got == 'word': done += 1
        else: errors.append(got.split(' ')[0])
    except OSError as e:
        errors.append(errno.errorcode.get(e.errno, str(e)))
    s.close()
print(json.dumps({'done': done, 'errors': errors}))
`;

describe('an upgrade that is interrupted', () => {
  beforeEach(() => install(older));

  it.each([1, 3, 6])('after %i links is finished by the next start', async (links) => {
    const release = await exchange(5, 10);
    const before = identities(open());
    stop();
    await begin({ native: failingAfter(links) });
    expect(bringUp).toThrow();
    stop();
    expect(earlierPins()).not.toEqual([]);
    await begin();
    expect(identities(open())).toEqual(before);
    bringUp();
    await finished();
    expect(identities(open())).toEqual(before);
    expect(await release()).toContain('{"bad": 0}');
    await heard(5);
    expect(open()).toEqual([]);
  });

  it('leaves no records of connections that ended before the next start', async () => {
    const release = await exchange(5, 1);
    stop();
    await begin({ native: failingAfter(4) });
    expect(bringUp).toThrow();
    stop();
    await release();
    await begin();
    bringUp();
    await finished();
    expect(open()).toEqual([]);
  });
});

/** The kernel refuses to change the link after so many. */
function failingAfter(links: number): NativeBinding {
  let left = links;
  return {
    ...native,
    linkUpdate(link, program) {
      if (left-- <= 0) throw new Error('the process ends here');
      native.linkUpdate(link, program);
    },
  };
}

describe('an upgrade from programs whose records nobody can read', () => {
  beforeEach(() => install(older));

  it('ends their connections, and no others', async () => {
    const release = await exchange(3, 100);
    const other = await mesh.lab.hold(mesh.a, scripts.holdConnections, [mesh.x.ip4, 8080, 1]);
    stop();
    await begin({ native: { ...native, mapStructs: () => [] } });
    bringUp();
    await eventually('the pods’ own connections to be ended', async () => {
      const left = await native.tcpSockets(mesh.a.netns);
      return left.some(({ remote }) => remote.port === echoPort) ? undefined : true;
    });
    const left = await native.tcpSockets(mesh.a.netns);
    expect(left.filter(({ remote }) => remote.ip === mesh.x.ip4)).toHaveLength(1);
    await finished();
    expect(await release()).not.toContain('{"bad": 0}');
    await other();
  });
});
