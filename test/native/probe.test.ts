// Feature probes: answers of this kernel that are known, and no answer where none can be given.
import { describe, expect, it } from '@jest/globals';
import { native } from './support/addon.ts';
import { expectNativeError } from './support/native-error.ts';

// Numbers of <linux/bpf.h>.
const sockAddr = 18;
const skLookup = 30;
const sockOps = 13;
const connect4 = 10;
const skLookupAttach = 36;
const sockOpsAttach = 3;
const tracing = 26;
const netnsCookie = 122;
const mapLookup = 1;
const ktime = 5;

describe('a helper probe', () => {
  it('finds helpers that a program type has', () => {
    expect(native.probeHelper(sockAddr, connect4, netnsCookie)).toBe(true);
    expect(native.probeHelper(sockAddr, connect4, mapLookup)).toBe(true);
    expect(native.probeHelper(sockOps, sockOpsAttach, ktime)).toBe(true);
  });

  it('does not find helpers of other types, nor ones that do not exist', () => {
    expect(native.probeHelper(skLookup, skLookupAttach, netnsCookie)).toBe(false);
    expect(native.probeHelper(sockAddr, connect4, 1_000_000)).toBe(false);
  });

  it('says no for program types the kernel does not know', () => {
    expect(native.probeHelper(9999, 0, mapLookup)).toBe(false);
  });

  it('refuses types that two instructions cannot be a program of', async () => {
    await expectNativeError(() => native.probeHelper(tracing, 0, mapLookup), 'ERR_ARGUMENT');
    await expectNativeError(() => native.probeProgramType(tracing, 0), 'ERR_ARGUMENT');
  });
});

describe('a program type probe', () => {
  it('asks the kernel', () => {
    expect(native.probeProgramType(sockAddr, connect4)).toBe(true);
    expect(native.probeProgramType(skLookup, skLookupAttach)).toBe(true);
    expect(native.probeProgramType(9999, 0)).toBe(false);
    expect(native.probeProgramType(sockAddr, 9999)).toBe(false);
  });
});

describe('a map type probe', () => {
  it('asks the kernel', () => {
    expect([1, 11, 18, 24, 27].map((type) => native.probeMapType(type))).toEqual(Array(5).fill(true));
  });

  it('gives no answer for types libbpf does not know', async () => {
    await expectNativeError(() => native.probeMapType(9999), 'ERR_ARGUMENT');
  });
});
