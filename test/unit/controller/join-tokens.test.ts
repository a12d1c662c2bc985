import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import type { Caller } from '../../../src/controller/caller.ts';
import { addJoinToken, JoinTokens, revokeJoinTokens } from '../../../src/controller/join-tokens.ts';
import type { NodeName } from '../../../src/model/mesh.ts';
import { idOf } from '../identity/support/fake-ca.ts';

let directory: string;
let path: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mesh-ebpf-tokens-'));
  path = join(directory, 'tokens.json');
});
afterEach(() => rmSync(directory, { recursive: true }));

const nodeA: Caller = { type: 'node', node: 'a' as NodeName };
const web: Caller = { type: 'workload', identity: idOf('web') };

describe('join tokens', () => {
  it('tell nodes and workloads apart', async () => {
    const [a, w] = [addJoinToken(path, nodeA), addJoinToken(path, web)];
    const tokens = new JoinTokens(path);
    expect(await tokens.authenticate(a)).toEqual(nodeA);
    expect(await tokens.authenticate(w)).toEqual(web);
  });

  it('are kept as hashes, in a file for its owner only', () => {
    const token = addJoinToken(path, nodeA);
    expect(token).toMatch(/^mesh_[\w-]{43}$/);
    expect(readFileSync(path, 'utf8')).not.toContain(token.slice(5, 20));
    expect((statSync(path).mode & 0o777).toString(8)).toBe('600');
    expect(readdirSync(directory)).toEqual(['tokens.json']);
  });

  it('added or revoked while the controller runs count at once', async () => {
    const first = addJoinToken(path, nodeA);
    const tokens = new JoinTokens(path);
    expect(await tokens.authenticate(first)).toEqual(nodeA);
    const second = addJoinToken(path, nodeA);
    expect(await tokens.authenticate(second)).toEqual(nodeA);
    expect(await tokens.authenticate(first)).toEqual(nodeA);
    const webToken = addJoinToken(path, web);
    expect(revokeJoinTokens(path, nodeA)).toBe(2);
    expect(await tokens.authenticate(first)).toBeUndefined();
    expect(await tokens.authenticate(second)).toBeUndefined();
    expect(await tokens.authenticate(webToken)).toEqual(web);
  });

  it('that are anything else are nobody’s', async () => {
    const token = addJoinToken(path, nodeA);
    const hash = /[0-9a-f]{64}/.exec(readFileSync(path, 'utf8'))?.[0] ?? '';
    const tokens = new JoinTokens(path);
    const near = ['', hash, token.slice(0, -1), `${token}x`, token.toLowerCase(), 'a'.repeat(100_000)];
    for (const wrong of near) expect(await tokens.authenticate(wrong)).toBeUndefined();
    await fc.assert(
      fc.asyncProperty(fc.string(), async (wrong) => {
        expect(await tokens.authenticate(wrong)).toBeUndefined();
      }),
    );
  });

  it.each(['', '[]', '{"tokens":[{"node":"a","sha256":"xyz"}]}', '{"tokens":[{"sha256":""}]}'])(
    'in a file like %j are a coded error, for the controller and for the command',
    async (text) => {
      writeFileSync(path, text);
      await expect(new JoinTokens(path).authenticate('t')).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
      });
      expect(() => addJoinToken(path, nodeA)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
      expect(readFileSync(path, 'utf8')).toBe(text);
    },
  );

  it('without a file are a coded error that names it', async () => {
    await expect(new JoinTokens(path).authenticate('t')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});
