/**
 * Join tokens: secrets by which nodes and single workloads prove who they are to the controller. The file holds
 * SHA-256 hashes only (a token has 256 random bits, so no salt is needed), and may change at any time.
 */
import { createHash, randomBytes, randomUUID, timingSafeEqual } from 'node:crypto';
import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { Type, type Static } from 'typebox';
import { Value } from 'typebox/value';
import { MeshError } from '../base/errors.ts';
import { parseSpiffeId } from '../model/identity.ts';
import type { NodeName } from '../model/mesh.ts';
import { HotFile } from '../rpc/hot-file.ts';
import { type Authenticator, type Caller, callerName } from './caller.ts';

interface Entry {
  readonly caller: Caller;
  readonly hash: Buffer;
}

const sha256Schema = Type.String({ pattern: '^[0-9a-f]{64}$' });
const fileSchema = Type.Object({
  tokens: Type.Array(
    Type.Union([
      Type.Object({ node: Type.String({ minLength: 1 }), sha256: sha256Schema }),
      Type.Object({ identity: Type.String(), sha256: sha256Schema }),
    ]),
  ),
});
type TokenFile = Static<typeof fileSchema>;

/** Longer than any token of ours or of Kubernetes; hashing is bounded by it. */
const maxTokenLength = 16 * 1024;

export class JoinTokens implements Authenticator {
  readonly #file: HotFile;
  #decoded: { readonly text: string; readonly entries: readonly Entry[] } | undefined;

  constructor(path: string) {
    this.#file = new HotFile(path, 'join tokens');
  }

  /** @throws MeshError UNAVAILABLE or INVALID_ARGUMENT when the file cannot be used. */
  async authenticate(token: string): Promise<Caller | undefined> {
    if (token.length > maxTokenLength) return undefined;
    const hash = sha256(token);
    // Every entry is compared, found or not: the time taken says nothing.
    const matches = this.#entries().filter((entry) => timingSafeEqual(entry.hash, hash));
    return matches[0]?.caller;
  }

  #entries(): readonly Entry[] {
    const text = this.#file.read();
    if (this.#decoded?.text !== text) {
      this.#decoded = { text, entries: decode(text, this.#file.path).map(toEntry) };
    }
    return this.#decoded.entries;
  }
}

/** Makes a token, adds its hash to the file (made if absent) and returns the token: the only time it is seen. */
export function addJoinToken(path: string, caller: Caller): string {
  const token = `mesh_${randomBytes(32).toString('base64url')}`;
  const record = { ...subject(caller), sha256: sha256(token).toString('hex') };
  replace(path, [...readTokens(path), record]);
  return token;
}

/** Removes all tokens of a node or workload; returns how many there were. */
export function revokeJoinTokens(path: string, caller: Caller): number {
  const tokens = readTokens(path);
  const kept = tokens.filter((token) => callerName(toEntry(token).caller) !== callerName(caller));
  if (kept.length < tokens.length) replace(path, kept);
  return tokens.length - kept.length;
}

const sha256 = (token: string): Buffer => createHash('sha256').update(token).digest();

const subject = (caller: Caller) =>
  caller.type === 'node' ? { node: String(caller.node) } : { identity: String(caller.identity) };

const toEntry = (token: TokenFile['tokens'][number]): Entry => ({
  caller:
    'node' in token
      ? { type: 'node', node: token.node as NodeName }
      : { type: 'workload', identity: parseSpiffeId(token.identity) },
  hash: Buffer.from(token.sha256, 'hex'),
});

function readTokens(path: string): TokenFile['tokens'] {
  return existsSync(path) ? decode(new HotFile(path, 'join tokens').read(), path) : [];
}

function decode(text: string, path: string): TokenFile['tokens'] {
  const file = parseJson(text);
  if (Value.Check(fileSchema, file)) return file.tokens;
  throw new MeshError('INVALID_ARGUMENT', `${path} is not a file of join tokens`, {
    hint: 'restore it, or remove it and make new tokens for all nodes',
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function replace(path: string, tokens: TokenFile['tokens']): void {
  const unfinished = `${path}.${randomUUID()}.tmp`;
  try {
    writeFileSync(unfinished, `${JSON.stringify({ tokens }, null, 2)}\n`, { mode: 0o600, flag: 'wx' });
    renameSync(unfinished, path);
  } finally {
    rmSync(unfinished, { force: true });
  }
}
