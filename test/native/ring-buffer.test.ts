// Records of a BPF ring buffer reach JavaScript in order and complete, and nothing is delivered after close().
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { BpfObject, RingBuffer } from '../../src/native/binding.ts';
import { native } from './support/addon.ts';
import { connectFromCgroup, makeCgroup, type Place } from './support/kernel-places.ts';
import { expectNativeError } from './support/native-error.ts';
import { compileSubject, FdBag, type Subject } from './support/subject.ts';

const attachConnect4 = 10; // BPF_CGROUP_INET4_CONNECT

let subject: Subject;
let object: BpfObject;
let cgroup: Place;
let ring: RingBuffer;
const fds = new FdBag();

beforeAll(() => {
  subject = compileSubject();
});
afterAll(() => subject.remove());
beforeEach(() => {
  cgroup = makeCgroup();
});
afterEach(() => {
  ring.close();
  object.close();
  fds.closeAll();
  cgroup.remove();
});

/** Attaches the program that leaves `records` records for each connect() from the cgroup. */
function openRing(records: number): void {
  object = subject.open();
  object.setRodata('records_per_connect', new Uint8Array(Uint32Array.of(records).buffer));
  object.load();
  const program = fds.keep(object.programFd('report_connect'));
  fds.keep(native.linkCgroup(program, fds.keep(native.openPath(cgroup.path)), attachConnect4));
  ring = native.openRingBuffer(fds.keep(object.mapFd('events')));
}

/** Resolves with the (sequence, port) pairs once `count` have arrived. */
function collect(count: number): Promise<{ batches: number; records: (readonly [number, number])[] }> {
  const records: (readonly [number, number])[] = [];
  let batches = 0;
  return new Promise((resolve) => {
    ring.start((bytes, ends) => {
      batches++;
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      for (const [i, end] of ends.entries()) {
        const start = ends[i - 1] ?? 0;
        expect(end - start).toBe(8);
        records.push([view.getUint32(start, true), view.getUint32(start + 4, true)]);
      }
      if (records.length >= count) resolve({ batches, records });
    });
  });
}

describe('a ring buffer', () => {
  it('delivers what a program wrote', async () => {
    openRing(1);
    const arrived = collect(2);
    connectFromCgroup(cgroup.path, '127.0.0.1', 4711);
    connectFromCgroup(cgroup.path, '127.0.0.1', 4712);
    expect((await arrived).records).toEqual([
      [0, 4711],
      [0, 4712],
    ]);
  });

  it('delivers a flood in order and in several turns of the event loop', async () => {
    openRing(4000);
    connectFromCgroup(cgroup.path, '127.0.0.1', 80);
    const { batches, records } = await collect(4000);
    expect(records.map(([sequence]) => sequence)).toEqual(Array.from({ length: 4000 }, (_, i) => i));
    expect(batches).toBeGreaterThanOrEqual(4);
  });

  it('may be closed from within its own callback, and delivers nothing afterwards', async () => {
    openRing(2000);
    connectFromCgroup(cgroup.path, '127.0.0.1', 80);
    let calls = 0;
    await new Promise<void>((resolve) => {
      ring.start(() => {
        calls++;
        ring.close();
        resolve();
      });
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(calls).toBe(1);
  });

  it('leaves records where they are while it is paused, and delivers all of them afterwards', async () => {
    openRing(3);
    const arrived = collect(6);
    ring.pause();
    connectFromCgroup(cgroup.path, '127.0.0.1', 80);
    connectFromCgroup(cgroup.path, '127.0.0.1', 80);
    const first = await Promise.race([arrived, new Promise((resolve) => setTimeout(resolve, 50, 'none'))]);
    expect(first).toBe('none');
    ring.resume();
    expect(await arrived).toMatchObject({ batches: 1 });
  });

  it('delivers at once what is there when it is drained, paused or not', () => {
    openRing(2000);
    let count = 0;
    ring.drain();
    ring.start((_bytes, ends) => void (count += ends.length));
    ring.pause();
    connectFromCgroup(cgroup.path, '127.0.0.1', 80);
    ring.drain();
    expect(count).toBe(2000);
    ring.close();
    ring.pause();
    ring.resume();
    ring.drain();
  });

  it('is started once, and not after it was closed', async () => {
    openRing(1);
    ring.start(() => {});
    await expectNativeError(() => ring.start(() => {}), 'ERR_ARGUMENT');
    ring.close();
    ring.close();
    await expectNativeError(() => ring.start(() => {}), 'ERR_ARGUMENT');
  });

  it('is a map of that type', async () => {
    openRing(1);
    const hash = fds.keep(object.mapFd('plain_hash'));
    await expectNativeError(() => native.openRingBuffer(hash), 'EINVAL');
  });
});
