import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findLeftoverFiles, removeLeftoverFiles } from '../../../src/agent/leftover-files.ts';

let root: string;
const at = (...parts: string[]): string => join(root, ...parts);
const directories = () => ({ run: at('run'), state: at('state') });

function write(...parts: string[]): void {
  mkdirSync(at(...parts.slice(0, -1)), { recursive: true });
  writeFileSync(at(...parts), '');
}

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'mesh-ebpf-leftover-files-'));
});
afterEach(() => rmSync(root, { recursive: true }));

describe('files that a node program leaves', () => {
  it('are its sockets and its snapshot; what others keep beside them stays', async () => {
    write('run', 'keeper.sock');
    write('run', 'node', 'admin.sock');
    write('run', 'lab', 'lab.json');
    write('state', 'node', 'objects.snapshot');
    write('state', 'ca', 'root.key');
    expect(await findLeftoverFiles(directories())).toEqual([
      `file ${at('run', 'keeper.sock')}`,
      `file ${at('run', 'node')}`,
      `file ${at('state', 'node')}`,
    ]);
    await removeLeftoverFiles(directories());
    expect(await findLeftoverFiles(directories())).toEqual([]);
    expect([at('run', 'lab', 'lab.json'), at('state', 'ca', 'root.key')].filter(existsSync)).toHaveLength(2);
  });

  it('are none on a machine that never had one', async () => {
    expect(await findLeftoverFiles(directories())).toEqual([]);
    await removeLeftoverFiles(directories());
  });
});
