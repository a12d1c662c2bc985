// Wrong arguments: every function of the addon answers them with a NativeError, and the process lives on. The table
// has the calls that are nearly right; fast-check throws everything else at every parameter.
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { isNativeError } from '../../src/native/errors.ts';
import type { Fd } from '../../src/native/binding.ts';
import { native } from './support/addon.ts';
import { nativeErrorOf } from './support/native-error.ts';
import { clientSpec } from './support/specs.ts';
import { compileSubject, type Subject, withLoaded } from './support/subject.ts';

type AnyFunction = (...args: readonly unknown[]) => unknown;
const functions = new Map<string, AnyFunction>(Object.entries(native));
const call = (name: string, args: readonly unknown[]): unknown => functions.get(name)?.(...args);

let subject: Subject;
let map: Fd;
beforeAll(() => {
  subject = compileSubject();
  map = withLoaded(subject, (object) => object.mapFd('plain_hash'));
});
afterAll(() => {
  native.closeFd(map);
  subject.remove();
});

function detached(size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  structuredClone(bytes, { transfer: [bytes.buffer] });
  return bytes;
}

const key = new Uint8Array(4);
const value = new Uint8Array(8);
const longPath = `/${'x'.repeat(5000)}`;
const netns = '/proc/self/ns/net';
const markRoute = { family: 4, mark: 1, mask: 1, table: 1, priority: 1 };
const spec = (change: object): unknown[] => [{ ...clientSpec, ...change }];

/** Descriptors that are not even numbers a descriptor could have. */
const badFds = [-1, 1.5, Number.NaN, Infinity, 2 ** 31, 2 ** 53, '3', 3n, null, undefined, {}, [], true];
const badPaths = ['', longPath, '/etc\0/passwd', 7, null, undefined, {}, ['/etc'], Symbol('path')];
const badBytes = ['abcd', [0, 0, 0, 0], new Uint16Array(2), new ArrayBuffer(4), new DataView(key.buffer), null, 4];
const badU32s = [-1, 0.5, 2 ** 32, Number.NaN, '1', 1n, null, undefined];

/** Name of the function, and arguments of which one is wrong. A function: descriptors exist only once tests run. */
const table = (): (readonly [string, readonly unknown[]])[] => [
  ...badPaths.flatMap((path) =>
    ['openObject', 'btfStructs', 'openPinned', 'openPath', 'netnsId', 'netnsCookie', 'netnsAddresses', 'tcpSockets'].map(
      (name) => [name, [path]] as const,
    ),
  ),
  ...badPaths.map((path) => ['pin', [map, path]] as const),
  ...badPaths.map((path) => ['linkNetns', [map, path, 36]] as const),
  ...badPaths.map((path) => ['probeConnect', [path, '192.0.2.1', 1]] as const),
  ...badU32s.map((id) => ['openMap', [id]] as const),
  ...badFds.flatMap((fd) => [
    ...['mapInfo', 'mapStructs', 'mapDump', 'linkDetach', 'linkInfo', 'programInfo', 'openRingBuffer'].map(
      (name) => [name, [fd]] as const,
    ),
    ...[
      'socketCookie',
      'tcpInfo',
      'socketError',
      'peerCredentials',
      'socketName',
      'dup',
      'adoptFd',
      'closeFd',
    ].map(
      (name) => [name, [fd]] as const,
    ),
    ['pin', [fd, '/x']] as const,
    ['mapLookup', [fd, key]] as const,
    ['mapUpdate', [fd, key, value, 0]] as const,
    ['linkCgroup', [fd, 0, 10]] as const,
    ['linkCgroup', [map, fd, 10]] as const,
    ['linkUpdate', [fd, map]] as const,
    ['attachToMap', [fd, map, 7]] as const,
    ['attachToMap', [map, fd, 7]] as const,
    ['detachFromMap', [fd, map, 7]] as const,
    ['attachedToMap', [fd, 7]] as const,
    ['trySockhash', [fd, map, key, value]] as const,
    ['trySockhash', [map, fd, key, value]] as const,
    ['sendMessage', [fd, 'text', null]] as const,
    ['tuneSocket', [fd, 60]] as const,
    ['connectSocket', [fd, null, '127.0.0.1', 1]] as const,
  ]),
  ...[...badBytes, new Uint8Array(3), new Uint8Array(5), new Uint8Array(0), detached(4)].flatMap((bytes) => [
    ['mapLookup', [map, bytes]] as const,
    ['mapLookupAndDelete', [map, bytes]] as const,
    ['mapDelete', [map, bytes]] as const,
    ['mapUpdate', [map, bytes, value, 0]] as const,
    ['mapUpdate', [map, key, bytes, 0]] as const,
    ['mapUpdateBatch', [map, bytes, value, 1]] as const,
    ['mapUpdateBatch', [map, key, bytes, 1]] as const,
    ['mapDeleteBatch', [map, bytes, 1]] as const,
    ['trySockhash', [map, map, bytes, value]] as const,
    ['trySockhash', [map, map, key, bytes]] as const,
  ]),
  ...[...badU32s, 2, 0, 0xffffffff].flatMap((count) => [
    ['mapUpdateBatch', [map, key, value, count]] as const,
    ['mapDeleteBatch', [map, key, count]] as const,
  ]),
  ...badU32s.flatMap((number) => [
    ['mapUpdate', [map, key, value, number]] as const,
    ['linkCgroup', [map, map, number]] as const,
    ['probeMapType', [number]] as const,
    ['probeHelper', [number, 0, 1]] as const,
    ['probeHelper', [1, number, 1]] as const,
    ['probeHelper', [1, 0, number]] as const,
    ['probeProgramType', [number, 0]] as const,
    ['probeProgramType', [1, number]] as const,
  ]),
  ...[0, 65536, -1, 1.5, '80', null].map((port) => ['probeConnect', [netns, '192.0.2.1', port]] as const),
  ...['', 'localhost', '1.2.3', '010.0.0.1.', 'fe80::1%lo', '::g', 'x'.repeat(300), 4, null].map(
    (ip) => ['probeConnect', [netns, ip, 1]] as const,
  ),
  ...badFds
    .filter((fd) => fd !== null)
    .map((fd) => ['sendMessage', [map, 'text', fd]] as const),
  ...['', 'x'.repeat(512), 'a\0b', 7, null, undefined].map((text) => ['sendMessage', [map, text, null]] as const),
  ...badBytes.map((bytes) => ['sealedMemory', [bytes]] as const),
  ...[null, undefined, 'spec', 7, [], {}].map((bad) => ['createSocket', [bad]] as const),
  ...['addMarkRoute', 'removeMarkRoute'].flatMap((name) => [
    ...badPaths.map((path) => [name, [path, markRoute]] as const),
    ...[null, undefined, 'route', 7, [], {}].map((bad) => [name, [netns, bad]] as const),
    ...[5, 0, '4', null].map((family) => [name, [netns, { ...markRoute, family }]] as const),
    ...[...badU32s, 0].map((mark) => [name, [netns, { ...markRoute, mark }]] as const),
    ...[...badU32s, 0].map((priority) => [name, [netns, { ...markRoute, priority }]] as const),
    ...[...badU32s, 0].map((mask) => [name, [netns, { ...markRoute, mask }]] as const),
    ...[...badU32s, 0, 253, 254, 256].map((number) => [name, [netns, { ...markRoute, table: number }]] as const),
  ]),
  ...badPaths.map((path) => ['writeInNetns', [path, ['/dev/null'], '1']] as const),
  ...badPaths.map((path) => ['writeInNetns', [netns, [path], '1']] as const),
  ...[null, undefined, '/dev/null', {}, 7].map((paths) => ['writeInNetns', [netns, paths, '1']] as const),
  ...['', 'a\0b', 7, null].map((text) => ['writeInNetns', [netns, ['/dev/null'], text]] as const),
  ...['', 'localhost', '1.2.3', '::g', 4, undefined].flatMap((ip) => [
    ['connectSocket', [map, ip, '127.0.0.1', 1]] as const,
    ['connectSocket', [map, null, ip, 1]] as const,
  ]),
  ...[0, 65536, -1, 1.5, '80', null].flatMap((number) => [
    ['connectSocket', [map, null, '127.0.0.1', number]] as const,
    ['tuneSocket', [map, number]] as const,
    ['createSockets', [spec({}), number]] as const,
  ]),
  ...[4, undefined, '', longPath, '/x\0y'].map((path) => ['createSocket', spec({ netns: path })] as const),
  ...[5, 0, '4', 4n, null, 10].map((family) => ['createSocket', spec({ family })] as const),
  ...['::1', '1.2.3', '1.2.3.4.5', '', undefined, 4].map((ip) => ['createSocket', spec({ bindIp: ip })] as const),
  ...[-1, 65536, 0.5, '80', null].map((bindPort) => ['createSocket', spec({ bindPort })] as const),
  ...[-1, 65536, '1', null].map((backlog) => ['createSocket', spec({ backlog })] as const),
  ...badU32s.map((mark) => ['createSocket', spec({ mark })] as const),
  ...[0, 1, 'true', null, undefined].flatMap((flag) => [
    ['createSocket', spec({ transparent: flag })] as const,
    ['createSocket', spec({ dualStack: flag })] as const,
  ]),
];

describe('a wrong argument', () => {
  it('is an error that names the function, for every function and parameter', async () => {
    for (const [name, args] of table()) {
      const error = await nativeErrorOf(() => call(name, args)).catch((failure: unknown) => {
        throw new Error(`${name}(${args.map(String).join(', ')})`, { cause: failure });
      });
      expect(error).toMatchObject({ code: 'ERR_ARGUMENT', errno: 0, syscall: name });
    }
  });

  it('is an error on handles too', async () => {
    const object = subject.open();
    const methods = new Map<string, AnyFunction>(Object.entries(object));
    const wrong: readonly (readonly [string, readonly unknown[]])[] = [
      ['setMaxEntries', ['plain_hash', -1]],
      ['setMaxEntries', [null, 1]],
      ['reuseMap', ['plain_hash', -1]],
      ['reuseMap', ['plain_hash', 1]],
      ['setRodata', ['records_per_connect', new Uint8Array(3)]],
      ['setRodata', ['records_per_connect', detached(4)]],
      ['setRodata', ['x'.repeat(400), key]],
      ['setAutoload', ['broken', 'yes']],
      ['programFd', ['']],
      ['mapFd', ['a\0b']],
    ];
    for (const [name, args] of wrong) {
      expect((await nativeErrorOf(() => methods.get(name)?.(...args))).code).toBe('ERR_ARGUMENT');
    }
    object.close();
  });

  it('leaves a promise rejected, never an exception, where a promise is due', async () => {
    for (const name of [
      'createSocket',
      'netnsCookie',
      'probeConnect',
      'netnsAddresses',
      'addMarkRoute',
      'removeMarkRoute',
      'writeInNetns',
    ]) {
      const outcomes = Promise.allSettled([call(name, [])]);
      expect(await outcomes).toMatchObject([{ status: 'rejected', reason: { code: 'ERR_ARGUMENT' } }]);
    }
  });

  it('that throws when read passes its own error on', async () => {
    const hostile = Object.defineProperty({ ...clientSpec }, 'family', {
      get: () => {
        throw new RangeError('mine');
      },
    });
    await expect(native.createSocket(hostile)).rejects.toThrow('mine');
  });
});

/** Functions that are right to succeed with certain junk, or whose success would hurt the process. */
const untouchable = new Set(['adoptFd', 'closeFd', 'sendMessage']);

const junk = fc.oneof(
  fc.anything({ withBigInt: true, withTypedArray: true, withSparseArray: true, withNullPrototype: true }),
  fc.integer(),
  fc.integer({ min: 0, max: 64 }),
  fc.uint8Array({ maxLength: 64 }),
  fc.double(),
  fc.string({ maxLength: 6000 }),
  fc.func(fc.anything()),
);

/** A junk integer may be somebody's descriptor, of which `dup` makes a copy. */
function dispose(name: string, result: unknown): void {
  if (['dup', 'openPath', 'sealedMemory'].includes(name)) native.closeFd(result as Fd);
}

describe('junk', () => {
  it.each([...functions.keys()].filter((name) => !untouchable.has(name)))(
    'given to %s ends in a result or a NativeError',
    async (name) => {
      await fc.assert(
        fc.asyncProperty(fc.array(junk, { maxLength: 5 }), async (args) => {
          try {
            dispose(name, await call(name, args));
          } catch (thrown) {
            if (!isNativeError(thrown)) throw thrown;
          }
        }),
        { numRuns: 300 },
      );
    },
  );
});
