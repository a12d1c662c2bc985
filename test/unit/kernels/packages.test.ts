import { describe, expect, it } from '@jest/globals';
import { isPlainKernel, newestKernel } from '../../kernels/debian/packages.ts';

const stanza = (name: string, version: string, sha256 = 'a'.repeat(64)): string =>
  `Package: ${name}\nSource: linux-signed-amd64\nVersion: ${version}\nSHA256: ${sha256}\nDescription: Linux\n more of it\n`;

describe('a plain kernel of a series', () => {
  it.each([
    ['5.10', 'linux-image-5.10.0-46-amd64'],
    ['6.1', 'linux-image-6.1.0-56-amd64'],
    ['6.12', 'linux-image-6.12.118+deb13-amd64'],
  ])('%s is %s', (series, name) => expect(isPlainKernel(series, name)).toBe(true));

  it.each([
    'linux-image-6.12.118+deb13-amd64',
    'linux-image-6.1.0-56-cloud-amd64',
    'linux-image-6.1.0-56-rt-amd64',
    'linux-image-6.1.0-56-amd64-dbg',
    'linux-image-6.1.0-56-amd64-unsigned',
    'linux-image-6.1.0-56-arm64',
    'linux-headers-6.1.0-56-amd64',
  ])('6.1 is not %s', (name) => expect(isPlainKernel('6.1', name)).toBe(false));
});

describe('the newest kernel', () => {
  it('is that of the highest version, as numbers, whatever its name', () => {
    const text = [
      stanza('linux-image-5.10.0-9-amd64', '5.10.70-1'),
      stanza('linux-image-5.10.0-46-amd64', '5.10.262-1', 'b'.repeat(64)),
      stanza('linux-image-5.10.0-32-amd64', '5.10.223-1'),
      stanza('linux-image-5.10.0-46-cloud-amd64', '5.10.999-1'),
    ].join('\n');
    expect(newestKernel('5.10', text)).toEqual({
      name: 'linux-image-5.10.0-46-amd64',
      version: '5.10.262-1',
      sha256: 'b'.repeat(64),
    });
  });

  it('is none without a checksum, and says so', () => {
    for (const text of ['', stanza('linux-image-5.10.0-46-amd64', '5.10.262-1', 'none')]) {
      expect(() => newestKernel('5.10', text)).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }));
    }
  });
});
