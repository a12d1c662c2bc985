// Ten thousand times open and close: descriptors and memory are what they were before.
import { readdirSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Fd } from '../../src/native/binding.ts';
import { native, sanitized } from './support/addon.ts';
import { makeNetns, type Netns } from './support/kernel-places.ts';
import { clientSpec } from './support/specs.ts';
import { compileSubject, type Subject, withLoaded } from './support/subject.ts';

const cycles = sanitized ? 1_000 : 10_000;
/** Less than a page a cycle, well above what the allocator keeps for itself. Smaller leaks are the sanitizer's to find. */
const toleranceBytes = 8 * 2 ** 20;

let subject: Subject;
let netns: Netns;
let map: Fd;
beforeAll(() => {
  subject = compileSubject();
  netns = makeNetns();
  map = withLoaded(subject, (object) => object.mapFd('plain_hash'));
});
afterAll(() => {
  native.closeFd(map);
  netns.remove();
  subject.remove();
});

const key = new Uint8Array(4);
const value = new Uint8Array(8);
const openFds = (): number => readdirSync('/proc/self/fd').length;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Memory of the process outside the JavaScript heap, which grows and shrinks as it pleases. */
function nativeBytes(): number {
  collectGarbage();
  const { rss, heapTotal } = process.memoryUsage();
  return rss - heapTotal;
}

/** Finalizers run between turns of the event loop. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function run(times: number, cycle: () => unknown): Promise<void> {
  for (let i = 0; i < times; i++) {
    await cycle();
    if (i % 100 === 0) await settle();
  }
}

/** What `times` cycles leave behind. */
async function remains(times: number, cycle: () => unknown): Promise<Remains> {
  const before = { fds: openFds(), counted: native.openFdCount(), bytes: nativeBytes() };
  await run(times, cycle);
  return {
    fds: openFds() - before.fds,
    counted: native.openFdCount() - before.counted,
    // The sanitizer keeps freed memory in quarantine on purpose; it looks for leaks itself.
    bytes: sanitized ? 0 : nativeBytes() - before.bytes,
  };
}

interface Remains {
  readonly fds: number;
  readonly counted: number;
  readonly bytes: number;
}

const isNothing = ({ fds, counted, bytes }: Remains): boolean =>
  fds <= 0 && counted === 0 && bytes < toleranceBytes;

/** A leak shows in every round; the allocator, or Node opening something of its own, in one of them. */
async function expectNothingLeft(times: number, cycle: () => unknown): Promise<void> {
  await run(times / 5, cycle);
  const rounds: Remains[] = [];
  for (let round = 0; round < 3; round++) {
    const left = await remains(times, cycle);
    if (isNothing(left)) return;
    rounds.push(left);
  }
  expect(rounds).toEqual('rounds that leave nothing behind');
}

describe('nothing is left behind by', () => {
  it('sockets made in another namespace', async () => {
    const spec = { ...clientSpec, netns: netns.path, bindPort: 7000, backlog: 8 };
    await expectNothingLeft(cycles, async () => native.closeFd(await native.createSocket(spec)));
  }, 120_000);

  it('sockets that could not be made', async () => {
    const spec = { ...clientSpec, netns: netns.path, bindIp: '203.0.113.1' };
    await expectNothingLeft(cycles, () => native.createSocket(spec).catch(() => {}));
  }, 120_000);

  it('several sockets of which one could not be made', async () => {
    // The first takes the port of the second.
    const spec = { ...clientSpec, netns: netns.path, bindPort: 7001, backlog: 8 };
    await expectNothingLeft(cycles, () => native.createSockets(spec, 2).catch(() => {}));
  }, 120_000);

  it('namespace questions', async () => {
    await expectNothingLeft(cycles, async () => {
      await native.netnsCookie(netns.path);
      await native.netnsAddresses(netns.path);
      await native.probeConnect(netns.path, '192.0.2.1', 9);
    });
  }, 120_000);

  it('rules and sysctls of a namespace', async () => {
    const route = { family: 4, mark: 0x53a, mask: 0xfff, table: 100, priority: 100 } as const;
    await expectNothingLeft(cycles, async () => {
      await native.addMarkRoute(netns.path, route);
      await native.removeMarkRoute(netns.path, route);
      await native.writeInNetns(netns.path, ['/proc/sys/net/ipv4/fwmark_reflect'], '0');
    });
  }, 120_000);

  it('duplicated descriptors and map access', async () => {
    await expectNothingLeft(cycles, () => {
      const copy = native.dup(map);
      native.mapUpdate(copy, key, value, 0);
      native.mapLookup(copy, key);
      native.mapDump(copy);
      native.mapInfo(copy);
      native.closeFd(copy);
    });
  }, 120_000);

  it('errors', async () => {
    await expectNothingLeft(cycles, () => {
      try {
        native.openPath('/nonexistent');
      } catch {
        // Building the error is what is being tried.
      }
    });
  }, 120_000);

  it('objects that were loaded and closed', async () => {
    await expectNothingLeft(cycles / 50, () => withLoaded(subject, (object) => object.mapNames()));
  }, 120_000);

  it('objects that nobody closed, once they are garbage', async () => {
    const before = openFds();
    for (let i = 0; i < 20; i++) subject.open().load();
    expect(openFds()).toBeGreaterThan(before + 100);
    collectGarbage();
    await settle();
    expect(openFds()).toBeLessThanOrEqual(before);
  });

  it('ring buffers that were started and closed', async () => {
    const events = withLoaded(subject, (object) => object.mapFd('events'));
    await expectNothingLeft(cycles / 10, async () => {
      const ring = native.openRingBuffer(events);
      ring.start(() => {});
      ring.close();
      await settle();
    });
    native.closeFd(events);
  }, 120_000);
});
