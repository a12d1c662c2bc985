// The loader says what to do when there is no addon, or one that does not load.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { loadNative } from '../../../src/native/load.ts';

const makeNative = { code: 'UNSUPPORTED', hint: expect.stringContaining('make native') };

describe('the loader', () => {
  it('names the places it looked at when the addon is not built', () => {
    expect(() => loadNative(['/nonexistent/a.node', '/nonexistent/b.node'])).toThrow(
      expect.objectContaining({ ...makeNative, message: expect.stringMatching(/a\.node, .*b\.node/) }),
    );
  });

  it('says why the addon it found does not load', () => {
    const directory = mkdtempSync(join(tmpdir(), 'mesh-ebpf-load-'));
    const path = join(directory, 'mesh_ebpf.node');
    writeFileSync(path, 'this is no shared object');
    const load = (): unknown => loadNative(['/nonexistent/a.node', path]);
    expect(load).toThrow(expect.objectContaining(makeNative));
    expect(load).toThrow(/invalid ELF header|file too short/);
    rmSync(directory, { recursive: true });
  });
});
