// Map access beyond what test/contract/native-maps asks of the addon and its fake alike: per-CPU values, keyless maps,
// tries, maps without batch operations, and errors of the kernel.
import { cpus } from 'node:os';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { BpfObject, Fd } from '../../src/native/binding.ts';
import { native } from './support/addon.ts';
import { expectNativeError } from './support/native-error.ts';
import { compileSubject, FdBag, type Subject } from './support/subject.ts';

let subject: Subject;
let object: BpfObject;
const fds = new FdBag();
beforeAll(() => {
  subject = compileSubject();
});
afterAll(() => subject.remove());
beforeEach(() => {
  object = subject.open();
  object.load();
});
afterEach(() => {
  object.close();
  fds.closeAll();
});

const map = (name: string): Fd => fds.keep(object.mapFd(name));
const u32 = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);
const u64 = (...values: number[]): Uint8Array => new Uint8Array(BigUint64Array.from(values, BigInt).buffer);
const nothing = new Uint8Array(0);
/** Key of the trie: the length of the prefix, then the address. */
const prefix = (bits: number, ...ip: number[]): Uint8Array => Uint8Array.of(bits, 0, 0, 0, ...ip);

/** At least as many as are online; a virtual machine may leave room for more. */
function possibleCpus(): number {
  const size = native.mapLookup(map('cpu_array'), u32(0))?.length ?? 0;
  expect(size / 8).toBeGreaterThanOrEqual(cpus().length);
  return size / 8;
}

describe('a per-CPU map', () => {
  it.each(['cpu_hash', 'cpu_array'])('%s has one value a CPU, each padded to 8 bytes', (name) => {
    const fd = map(name);
    const slots = native.mapDump(fd).values.length;
    const values = new Uint8Array(possibleCpus() * 8).fill(0);
    new DataView(values.buffer).setUint32(0, 41, true);
    new DataView(values.buffer).setUint32(values.length - 8, 42, true);
    native.mapUpdate(fd, u32(1), values, 0);
    expect(native.mapLookup(fd, u32(1))).toEqual(values);
    expect(native.mapInfo(fd).valueSize).toBe(4);
    expect(native.mapDump(fd).values.length).toBe(Math.max(slots, values.length));
  });

  it('refuses a value for one CPU only', async () => {
    await expectNativeError(() => native.mapUpdate(map('cpu_hash'), u32(1), u32(1), 0), 'ERR_ARGUMENT');
  });

  it('takes batches', () => {
    const fd = map('cpu_hash');
    const values = new Uint8Array(possibleCpus() * 8 * 2).fill(0);
    values[0] = 1;
    native.mapUpdateBatch(fd, u32(1, 2), values, 2);
    expect(native.mapDump(fd).count).toBe(2);
    expect(native.mapDeleteBatch(fd, u32(1, 2, 3), 3)).toBe(2);
  });
});

describe('a queue', () => {
  it('has empty keys and gives its values in order', () => {
    const fd = map('queue');
    native.mapUpdate(fd, nothing, u32(1), 0);
    native.mapUpdate(fd, nothing, u32(2), 0);
    expect(native.mapLookup(fd, nothing)).toEqual(u32(1));
    expect(native.mapLookupAndDelete(fd, nothing)).toEqual(u32(1));
    expect(native.mapLookupAndDelete(fd, nothing)).toEqual(u32(2));
    expect(native.mapLookupAndDelete(fd, nothing)).toBeNull();
  });

  it('cannot be walked', async () => {
    await expectNativeError(() => native.mapDump(map('queue')), 'EINVAL');
  });
});

describe('an array', () => {
  it('always has all its entries, and none can be deleted', async () => {
    const fd = map('plain_array');
    native.mapUpdateBatch(fd, u32(0, 4), u64(7, 9), 2);
    expect(native.mapDump(fd)).toMatchObject({
      count: 5,
      keys: u32(0, 1, 2, 3, 4),
      values: u64(7, 0, 0, 0, 9),
    });
    expect(native.mapLookup(fd, u32(5))).toBeNull();
    await expectNativeError(() => native.mapDelete(fd, u32(1)), 'EINVAL');
    await expectNativeError(() => native.mapDeleteBatch(fd, u32(1), 1), 'EINVAL');
    await expectNativeError(() => native.mapUpdate(fd, u32(5), u64(1), 0), 'E2BIG');
  });
});

describe('a prefix trie', () => {
  it('finds the longest prefix, and can be dumped and deleted from', () => {
    const fd = map('prefixes');
    const keys = Uint8Array.of(...prefix(8, 10, 0, 0, 0), ...prefix(16, 10, 1, 0, 0));
    native.mapUpdateBatch(fd, keys, u32(8, 16), 2);
    expect(native.mapLookup(fd, prefix(32, 10, 1, 2, 3))).toEqual(u32(16));
    expect(native.mapLookup(fd, prefix(32, 10, 2, 2, 3))).toEqual(u32(8));
    expect(native.mapDump(fd).count).toBe(2);
    expect(native.mapDeleteBatch(fd, keys, 2)).toBe(2);
    expect(native.mapDump(fd)).toEqual({ keys: nothing, values: nothing, count: 0 });
  });
});

describe('a map without batch operations', () => {
  it('is read entry by entry', async () => {
    const fd = map('sockets');
    const socket = fds.keep(await native.createSocket(loopbackListener));
    native.mapUpdate(fd, u32(1), u64(socket), 0);
    const dump = native.mapDump(fd);
    expect(dump.count).toBe(1);
    expect(dump.keys).toEqual(u32(1));
    // User space reads the cookie of the socket, not its descriptor.
    expect(new BigUint64Array(dump.values.buffer)[0]).toBe(native.socketCookie(socket));
  });

  it('is written and deleted from entry by entry', async () => {
    const fd = map('sockets');
    const sockets = [
      fds.keep(await native.createSocket(loopbackListener)),
      fds.keep(await native.createSocket(loopbackListener)),
    ];
    native.mapUpdateBatch(fd, u32(1, 2), u64(...sockets), 2);
    expect(native.mapDeleteBatch(fd, u32(1, 3, 2), 3)).toBe(2);
    const error = await expectNativeError(
      () => native.mapUpdateBatch(fd, u32(1, 2), u64(sockets[0] ?? 0, 0), 2),
      'ENOTSOCK',
    );
    expect(error.hint).toBe('1 of 2 entries were done');
  });

  const loopbackListener = {
    netns: null,
    family: 4,
    bindIp: '127.0.0.1',
    bindPort: 0,
    transparent: false,
    mark: 0,
    backlog: 1,
    dualStack: false,
  } as const;
});

describe('a large map', () => {
  it('is dumped whole, in many system calls', () => {
    const fd = map('plain_hash');
    const keys = Uint32Array.from({ length: 8000 }, (_, i) => i * 7);
    native.mapUpdateBatch(fd, new Uint8Array(keys.buffer), new Uint8Array(8000 * 8).fill(1), 8000);
    const dump = native.mapDump(fd);
    expect(dump.count).toBe(8000);
    expect(new Uint32Array(dump.keys.buffer).toSorted()).toEqual(keys);
    expect(dump.values.every((byte) => byte === 1)).toBe(true);
  });

  it('that drops old entries never reports itself full', () => {
    const fd = map('recent_hash');
    for (let i = 0; i < 1000; i++) native.mapUpdate(fd, u32(i), u64(i), 0);
    expect(native.mapDump(fd).count).toBeLessThanOrEqual(64);
    expect(native.mapLookup(fd, u32(999))).toEqual(u64(999));
  });
});

describe('descriptors that are no maps', () => {
  it('are told apart: programs', async () => {
    const program = fds.keep(object.programFd('pass_lookup'));
    const error = await expectNativeError(() => native.mapInfo(program), 'ERR_ARGUMENT');
    expect(error.message).toContain('is no BPF map but anon-inode:bpf-prog');
    await expectNativeError(() => native.mapLookup(program, u32(1)), 'ERR_ARGUMENT');
  });

  it('are told apart: files and closed ones', async () => {
    const file = fds.keep(native.openPath('/etc/passwd'));
    await expectNativeError(() => native.mapDump(file), 'ERR_ARGUMENT');
    await expectNativeError(() => native.mapDump(1_000_000 as Fd), 'ENOENT');
  });
});

describe('all maps of the kernel', () => {
  it('include ours', () => {
    const ours = native.mapInfo(map('plain_hash'));
    expect(native.listMaps()).toContainEqual(ours);
  });

  it('can be opened by their ids', async () => {
    const { id } = native.mapInfo(map('plain_hash'));
    const opened = native.openMap(id);
    expect(native.mapInfo(opened).id).toBe(id);
    native.closeFd(opened);
    await expectNativeError(() => native.openMap(0), 'ENOENT');
  });
});
