import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { HotFile } from '../../../src/rpc/hot-file.ts';

let directory: string;
let path: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mesh-ebpf-hot-'));
  path = join(directory, 'token');
});
afterEach(() => rmSync(directory, { recursive: true }));

describe('a file that may change at any time', () => {
  it('is read as it is now, also after an atomic replacement of equal size', () => {
    writeFileSync(path, 'one');
    const file = new HotFile(path, 'token');
    expect([file.read(), file.read()]).toEqual(['one', 'one']);
    writeFileSync(`${path}.new`, 'two');
    renameSync(`${path}.new`, path);
    expect(file.read()).toBe('two');
  });

  it('that is missing is a coded error naming it, and is read once it is there', () => {
    const file = new HotFile(path, 'join tokens');
    expect(() => file.read()).toThrow(expect.objectContaining({ code: 'UNAVAILABLE' }));
    expect(() => file.read()).toThrow(/cannot read the join tokens .*token/);
    writeFileSync(path, 'here');
    expect(file.read()).toBe('here');
  });

  it('is not read when it is enormous', () => {
    writeFileSync(path, Buffer.alloc(9 * 1024 * 1024));
    expect(() => new HotFile(path, 'token').read()).toThrow(/more than/);
  });
});
