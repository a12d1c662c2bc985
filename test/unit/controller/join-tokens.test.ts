import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import type { Caller } from '../../../src/controller/caller.ts';
import { makeJoinToken, JoinTokens, revokeJoinToken } from '../../../src/controller/join-tokens.ts';
import type { NodeName } from '../../../src/model/mesh.ts';

let directory: string;
let path: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mesh-ebpf-tokens-'));
  path = join(directory, 'tokens.json');
});
afterEach(() => rmSync(directory, { recursive: true }));

const nodeA: Caller = { type: 'node', node: 'a' as NodeName };
const unknown = { type: 'stranger', reason: expect.stringContaining('join token') };
const web: Caller = { type: 'workload', namespace: 'shop', serviceAccount: 'web' };

describe('join tokens', () => {
  it('tell nodes and workloads apart', async () => {
    const [a, w] = [makeJoinToken(path, nodeA), makeJoinToken(path, web)];
    const tokens = new JoinTokens(path);
    expect(await tokens.authenticate(a)).toEqual(nodeA);
    expect(await tokens.authenticate(w)).toEqual(web);
  });

  it('are kept as hashes, in a file for its owner only', () => {
    const token = makeJoinToken(path, nodeA);
    expect(token).toMatch(/^mesh_[\w-]{43}$/);
    expect(readFileSync(path, 'utf8')).not.toContain(token.slice(5, 20));
    expect((statSync(path).mode & 0o777).toString(8)).toBe('600');
    expect(readdirSync(directory)).toEqual(['tokens.json']);
  });

  it('made anew or revoked while the controller runs count at once', async () => {
    const first = makeJoinToken(path, nodeA);
    const tokens = new JoinTokens(path);
    expect(await tokens.authenticate(first)).toEqual(nodeA);
    const second = makeJoinToken(path, nodeA);
    expect(await tokens.authenticate(second)).toEqual(nodeA);
    expect(await tokens.authenticate(first)).toMatchObject(unknown);
    const webToken = makeJoinToken(path, web);
    expect([revokeJoinToken(path, nodeA), revokeJoinToken(path, nodeA)]).toEqual([true, false]);
    expect(await tokens.authenticate(second)).toMatchObject(unknown);
    expect(await tokens.authenticate(webToken)).toEqual(web);
  });

  it('that are anything else are nobody’s', async () => {
    const token = makeJoinToken(path, nodeA);
    const hash = /[0-9a-f]{64}/.exec(readFileSync(path, 'utf8'))?.[0] ?? '';
    const tokens = new JoinTokens(path);
    const near = ['', hash, token.slice(0, -1), `${token}x`, token.toLowerCase(), 'a'.repeat(100_000)];
    for (const wrong of near) expect(await tokens.authenticate(wrong)).toMatchObject(unknown);
    await fc.assert(
      fc.asyncProperty(fc.string(), async (wrong) => {
        expect(await tokens.authenticate(wrong)).toMatchObject(unknown);
      }),
    );
  });

  it.each(['', '[]', '{"nodes":{"a":"xyz"},"serviceAccounts":{}}', '{"nodes":{}}', '{"node":{}}'])(
    'in a file like %j are a coded error, for the controller and for the command',
    async (text) => {
      writeFileSync(path, text);
      await expect(new JoinTokens(path).authenticate('t')).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
      });
      expect(() => makeJoinToken(path, nodeA)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
      expect(readFileSync(path, 'utf8')).toBe(text);
    },
  );

  it('for something that is not NAMESPACE/SERVICE-ACCOUNT are a coded error that names it', async () => {
    const hash = 'a'.repeat(64);
    writeFileSync(path, JSON.stringify({ nodes: {}, serviceAccounts: { 'shop/web/x': hash } }));
    await expect(new JoinTokens(path).authenticate('t')).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining('shop/web/x'),
    });
  });

  it('without a file are a coded error that names it', async () => {
    await expect(new JoinTokens(path).authenticate('t')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});
