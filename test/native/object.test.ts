// BPF objects: opened, adjusted, loaded, asked for descriptors.
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { native } from './support/addon.ts';
import { expectNativeError } from './support/native-error.ts';
import { compileSubject, FdBag, type Subject, withLoaded } from './support/subject.ts';

let subject: Subject;
const fds = new FdBag();
beforeAll(() => {
  subject = compileSubject();
});
afterAll(() => subject.remove());
afterEach(() => fds.closeAll());

const u32 = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer);

describe('a BPF object', () => {
  it('lists its programs and maps before it is loaded', () => {
    const object = subject.open();
    expect(object.programNames()).toEqual([
      'report_connect',
      'refuse_connect',
      'pass_lookup',
      'to_other_end',
      'lose_long',
      'broken',
    ]);
    expect(object.mapNames()).toEqual(expect.arrayContaining(['plain_hash', 'events', 'queue']));
    object.close();
  });

  it('gives descriptors of its own that outlive it', () => {
    const fd = withLoaded(subject, (object) => fds.keep(object.mapFd('plain_hash')));
    expect(native.mapInfo(fd)).toMatchObject({ name: 'plain_hash', keySize: 4, valueSize: 8, maxEntries: 8192 });
  });

  it('gives no descriptors before it is loaded', async () => {
    const object = subject.open();
    await expectNativeError(() => object.mapFd('plain_hash'), 'ENOENT');
    await expectNativeError(() => object.programFd('report_connect'), 'ENOENT');
    object.close();
  });

  it('creates a map with the size asked for', () => {
    const object = subject.open();
    object.setMaxEntries('plain_hash', 17);
    object.load();
    expect(native.mapInfo(fds.keep(object.mapFd('plain_hash'))).maxEntries).toBe(17);
    object.close();
  });

  it('uses a map that exists already when told to', () => {
    const first = withLoaded(subject, (object) => fds.keep(object.mapFd('plain_hash')));
    const object = subject.open();
    object.reuseMap('plain_hash', first);
    object.load();
    expect(native.mapInfo(fds.keep(object.mapFd('plain_hash'))).id).toBe(native.mapInfo(first).id);
    object.close();
  });

  it('refuses to reuse a map of another layout, and says which', async () => {
    const other = withLoaded(subject, (object) => fds.keep(object.mapFd('cpu_hash')));
    const object = subject.open();
    const error = await expectNativeError(() => object.reuseMap('plain_hash', other), 'EINVAL');
    expect(error.hint).toBe('plain_hash: type is 5, the object wants 1');
    object.close();
  });

  it('is not loaded with programs that were switched off', async () => {
    const object = subject.open();
    object.setAutoload('pass_lookup', false);
    object.load();
    await expectNativeError(() => object.programFd('pass_lookup'), 'ENOENT');
    object.close();
  });

  it('fails to load with the verifier’s last words in the hint and its whole log at hand', async () => {
    const object = subject.open();
    object.setAutoload('broken', true);
    expect(object.verifierLog()).toBe('');
    const error = await expectNativeError(() => object.load(), 'EACCES');
    expect(error.hint).toContain("invalid mem access 'map_value_or_null'");
    expect(object.verifierLog()).toMatch(/^0: .*/);
    expect(object.verifierLog()).toContain('processed ');
    object.close();
  });

  it('is loaded once only, whether that worked or not', async () => {
    const object = subject.open();
    object.load();
    await expectNativeError(() => object.load(), 'ERR_ARGUMENT');
    await expectNativeError(() => object.setMaxEntries('plain_hash', 3), 'ERR_ARGUMENT');
    await expectNativeError(() => object.setAutoload('broken', true), 'ERR_ARGUMENT');
    await expectNativeError(() => object.setRodata('records_per_connect', u32(3)), 'ERR_ARGUMENT');
    object.close();
  });

  it('writes read-only variables before it is loaded', () => {
    const object = subject.open();
    object.setRodata('records_per_connect', u32(7));
    object.load();
    const rodata = object.mapNames().find((name) => name.endsWith('.rodata')) ?? '';
    expect(native.mapLookup(fds.keep(object.mapFd(rodata)), u32(0))).toEqual(u32(7));
    object.close();
  });

  it('knows no other variables, programs or maps than its own', async () => {
    const object = subject.open();
    await expectNativeError(() => object.setRodata('nothing', u32(1)), 'ENOENT');
    await expectNativeError(() => object.setRodata('connects', u32(1)), 'ENOENT');
    await expectNativeError(() => object.setAutoload('nothing', true), 'ENOENT');
    await expectNativeError(() => object.setMaxEntries('nothing', 1), 'ENOENT');
    object.close();
  });

  it('can be closed twice, and does nothing else afterwards', async () => {
    const object = subject.open();
    object.close();
    object.close();
    await expectNativeError(() => object.load(), 'ERR_ARGUMENT');
    await expectNativeError(() => object.programNames(), 'ERR_ARGUMENT');
    await expectNativeError(() => object.mapFd('plain_hash'), 'ERR_ARGUMENT');
  });

  it('has methods that work without their object', () => {
    const methods = new Map<string, () => unknown>(Object.entries(subject.open()));
    expect(methods.get('mapNames')?.call(undefined)).toContain('plain_hash');
    methods.get('close')?.call(new Map());
  });

  it('is not made from a file that is missing or is no ELF', async () => {
    const missing = await expectNativeError(() => native.openObject('/nonexistent.o'), 'ENOENT');
    expect(missing.message).toContain('/nonexistent.o');
    await expectNativeError(() => native.openObject(import.meta.filename), 'ELIBBPF');
    await expectNativeError(() => native.openObject('/tmp'), 'ELIBBPF');
  });
});

describe('BTF of a map', () => {
  it('tells the structs of the object that it was made from', () => {
    const object = subject.open();
    object.load();
    const map = object.mapFd('plain_hash');
    expect(native.mapStructs(map)).toContainEqual(native.btfStructs(subject.path).find(({ name }) => name === 'layout'));
    native.closeFd(map);
    object.close();
  });
});

describe('BTF of an object file', () => {
  it('tells the layout of its structs', () => {
    expect(native.btfStructs(subject.path).find((found) => found.name === 'layout')).toEqual({
      name: 'layout',
      sizeBytes: 24,
      members: [
        { name: 'kind', offsetBits: 0, sizeBytes: 1 },
        { name: 'number', offsetBits: 32, sizeBytes: 4 },
        { name: 'wide', offsetBits: 64, sizeBytes: 8 },
        { name: 'row', offsetBits: 128, sizeBytes: 6 },
      ],
    });
  });

  it('is an error where there is none', async () => {
    await expectNativeError(() => native.btfStructs('/nonexistent.o'), 'ENOENT');
    await expectNativeError(() => native.btfStructs('/bin/sh'), 'ENOENT');
  });
});
