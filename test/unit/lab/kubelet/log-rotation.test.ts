/** Logs that do not grow for ever. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rotateLog, rotateLogsIn } from '../../../../src/lab/kubelet/log-rotation.ts';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mesh-lab-logs-'));
});

afterEach(() => rmSync(directory, { recursive: true }));

describe('rotating a log', () => {
  it('moves what is too long aside, and writers go on in the same file', async () => {
    const path = join(directory, 'log');
    writeFileSync(path, 'first\n');
    truncateSync(path, 9 * 1024 * 1024);
    await rotateLog(path);
    appendFileSync(path, 'second\n');
    expect(readFileSync(path, 'utf8')).toBe('second\n');
    expect(statSync(`${path}.1`).size).toBe(9 * 1024 * 1024);
  });

  it('leaves short ones, absent ones and other files alone', async () => {
    writeFileSync(join(directory, 'mesh.log'), 'short');
    writeFileSync(join(directory, 'token'), '');
    truncateSync(join(directory, 'token'), 9 * 1024 * 1024);
    await rotateLogsIn(directory);
    await rotateLogsIn(join(directory, 'absent'));
    await rotateLog(join(directory, 'absent'));
    expect(readFileSync(join(directory, 'mesh.log'), 'utf8')).toBe('short');
    expect(existsSync(join(directory, 'token.1'))).toBe(false);
  });
});
