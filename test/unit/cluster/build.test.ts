import { describe, expect, it } from '@jest/globals';
import { cacheKey, kubernetesVersion, neededGo } from '../../cluster/artifacts/cache.ts';
import { isAtLeast } from '../../cluster/artifacts/toolchain.ts';

describe('the version of Go', () => {
  it.each([
    ['1.26.0', '1.26.0', true],
    ['1.26.8', '1.26.0', true],
    ['1.27', '1.26.5', true],
    ['1.26rc1', '1.26.0', true],
    ['2.0', '1.26.0', true],
    ['1.19.8', '1.26.0', false],
    ['1.25.99', '1.26.0', false],
  ])('%s beside the needed %s: %s', (version, needed, enough) => {
    expect(isAtLeast(version, needed)).toBe(enough);
  });
});

describe('the cache of what is built', () => {
  it('has another key for another Go', () => {
    expect(cacheKey('1.26.8')).toBe(cacheKey('1.26.8'));
    expect(cacheKey('1.26.8')).not.toBe(cacheKey('1.26.9'));
  });

  it('takes the versions from the module that pins them', () => {
    const goMod = 'module x\n\ngo 1.26.0\n\nrequire (\n\tk8s.io/kubernetes v1.36.3\n)\n';
    expect(kubernetesVersion(goMod)).toBe('v1.36.3');
    expect(neededGo(goMod)).toBe('1.26.0');
    expect(() => kubernetesVersion('module x\n')).toThrow('names no version');
  });
});
