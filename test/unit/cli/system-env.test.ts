import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MeshError } from '../../../src/base/errors.ts';
import type { CliEnv } from '../../../src/cli/env.ts';
import { systemEnv } from '../../../src/cli/system-env.ts';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mesh-cli-'));
});

afterEach(async () => await rm(directory, { recursive: true }));

const env = (): CliEnv =>
  systemEnv({
    programName: 'mesh-ebpf',
    version: '0.1.0',
    variables: {},
    path: ['/usr/bin'],
    objectPath: '/nowhere/mesh.bpf.o',
    loadNative: () => {
      throw new MeshError('UNSUPPORTED', 'not built');
    },
    interrupted: new AbortController().signal,
  });

describe('the real world of the CLI', () => {
  it('lists a directory in order, and takes a missing one for empty', async () => {
    for (const name of ['b', 'a', 'c']) await writeFile(join(directory, name), '');
    expect(await env().files.list(directory)).toEqual(['a', 'b', 'c']);
    expect(await env().files.list(join(directory, 'none'))).toEqual([]);
    expect(await env().files.list(join(directory, 'a', 'below'))).toEqual([]);
  });

  it('says which file does not exist, and which cannot be read', async () => {
    const missing = join(directory, 'none');
    await expect(env().files.readText(missing)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(env().files.readText(directory)).rejects.toMatchObject({
      code: 'SYSCALL',
      message: expect.stringContaining(directory),
    });
    expect(await env().files.exists(missing)).toBe(false);
    expect(await env().files.exists(directory)).toBe(true);
  });

  it('loads the native addon only when the kernel is asked', () => {
    const { datapath } = env();
    expect(() => datapath.maps('/nowhere')).toThrow('not built');
  });
});
