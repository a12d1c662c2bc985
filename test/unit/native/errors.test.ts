// How failures of the addon become errors an operator can act on.
import { describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../src/base/errors.ts';
import { isNativeError, type NativeError, toMeshError } from '../../../src/native/errors.ts';

function nativeError(code: string, syscall: string, hint: string | null = null): NativeError {
  return Object.assign(new Error(`${syscall}: something (${code})`), {
    name: 'NativeError',
    code,
    errno: 1,
    syscall,
    hint,
  } as const);
}

describe('an error of the addon', () => {
  it('is known by its shape, from whatever realm', () => {
    expect(isNativeError(nativeError('ENOENT', 'open'))).toBe(true);
    expect(isNativeError({ name: 'NativeError', code: 'EPERM', syscall: 'bind' })).toBe(true);
    for (const other of [new Error('x'), { name: 'NativeError' }, null, undefined, 'NativeError', 7]) {
      expect(isNativeError(other)).toBe(false);
    }
    expect(isNativeError({ name: 'NativeError', code: 1, syscall: 'bind' })).toBe(false);
  });

  it.each([
    ['EPERM', 'bpf(BPF_PROG_LOAD)', 'PERMISSION', /run as root/],
    ['E2BIG', 'bpf(BPF_MAP_UPDATE_ELEM)', 'BPF_MAP_FULL', /more room: .*--max-flows/],
    ['E2BIG', 'bpf(BPF_MAP_UPDATE_BATCH)', 'BPF_MAP_FULL', /more room: .*--max-flows/],
    ['ENOSPC', 'bpf(BPF_MAP_UPDATE_ELEM)', 'BPF_MAP_FULL', /more room: .*--max-flows/],
    ['ENOTSUPP', 'bpf(BPF_MAP_LOOKUP_BATCH)', 'UNSUPPORTED', /doctor/],
    ['EMFILE', 'socket', 'OVERLOADED', /ulimit -n/],
    ['EADDRINUSE', 'bind', 'ALREADY_EXISTS', /ss -ltnp/],
    ['EACCES', 'bind', 'PERMISSION', /run as root/],
  ])('%s of %s becomes %s with advice', (code, syscall, expected, hint) => {
    const error = toMeshError(nativeError(code, syscall), 'BPF_MAP', 'writing the map policy');
    expect(error).toMatchObject({ code: expected, hint: expect.stringMatching(hint) });
  });

  it.each([
    ['ENOSPC', 'bpf(BPF_PROG_LOAD)'],
    ['EACCES', 'bpf(BPF_PROG_LOAD)'],
    ['EADDRNOTAVAIL', 'bind'],
    ['ELIBBPF', 'bpf_object__open_file'],
  ])('%s of %s means what the caller says it means', (code, syscall) => {
    expect(toMeshError(nativeError(code, syscall), 'BPF_LOAD', 'loading').code).toBe('BPF_LOAD');
  });

  it('about an argument is a bug of ours', () => {
    expect(toMeshError(nativeError('ERR_ARGUMENT', 'mapLookup'), 'BPF_MAP', 'reading').code).toBe('INTERNAL');
  });

  it('keeps what was being done, the cause, and the facts for the log', () => {
    const cause = nativeError('ENOENT', 'open');
    const error = toMeshError(cause, 'NETNS', 'entering the namespace of pod web');
    expect(error.message).toBe('entering the namespace of pod web: open: something (ENOENT)');
    expect(error).toMatchObject({ code: 'NOT_FOUND', cause, details: { errno: 'ENOENT', syscall: 'open' } });
  });
});

describe('any other error', () => {
  it('passes through as asMeshError has it', () => {
    const known = new MeshError('TIMEOUT', 'too late');
    expect(toMeshError(known, 'BPF_MAP', 'reading')).toBe(known);
    expect(toMeshError(new TypeError('odd'), 'BPF_MAP', 'reading')).toMatchObject({
      code: 'BPF_MAP',
      message: 'reading: odd',
    });
  });
});
