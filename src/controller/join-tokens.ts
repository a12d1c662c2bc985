/**
 * Join tokens: secrets by which nodes and single workloads prove who they are to the controller. The file holds
 * SHA-256 hashes only (a token has 256 random bits, so no salt is needed), and may change at any time.
 */
import { createHash, randomBytes, randomUUID, timingSafeEqual } from 'node:crypto';
import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { Type, type Static } from 'typebox';
import { Value } from 'typebox/value';
import { MeshError } from '../base/errors.ts';
import type { NodeName } from '../model/mesh.ts';
import { HotFile } from '../rpc/hot-file.ts';
import { type Authenticator, type Caller, type Stranger, stranger } from './caller.ts';

interface Entry {
  readonly caller: Caller;
  readonly hash: Buffer;
}

const hashesSchema = Type.Record(Type.String(), Type.String({ pattern: '^[0-9a-f]{64}$' }));

/** Hash by node name, and by `NAMESPACE/SERVICE-ACCOUNT`. */
const fileSchema = Type.Object(
  { nodes: hashesSchema, serviceAccounts: hashesSchema },
  { additionalProperties: false },
);
type TokenFile = Static<typeof fileSchema>;

/** Longer than any token of ours or of Kubernetes; hashing is bounded by it. */
const maxTokenLength = 16 * 1024;

const unknownToken = stranger(
  'the bearer token is unknown; make a join token for this node and give it the file',
);

export class JoinTokens implements Authenticator {
  readonly #file: HotFile;
  #decoded: { readonly text: string; readonly entries: readonly Entry[] } | undefined;

  constructor(path: string) {
    this.#file = new HotFile(path, 'join tokens');
  }

  /** @throws MeshError UNAVAILABLE or INVALID_ARGUMENT when the file cannot be used. */
  async authenticate(token: string): Promise<Caller | Stranger> {
    if (token.length > maxTokenLength) return unknownToken;
    const hash = sha256(token);
    // Every entry is compared, found or not: the time taken says nothing.
    const matches = this.#entries().filter((entry) => timingSafeEqual(entry.hash, hash));
    return matches[0]?.caller ?? unknownToken;
  }

  #entries(): readonly Entry[] {
    const text = this.#file.read();
    if (this.#decoded?.text !== text) {
      this.#decoded = { text, entries: entriesOf(decode(text, this.#file.path)) };
    }
    return this.#decoded.entries;
  }
}

/**
 * Makes a token for the caller, in place of the one it had, and puts its hash into the file (made if absent).
 * Returns the token: the only time it is seen.
 */
export function makeJoinToken(path: string, caller: Caller): string {
  const token = `mesh_${randomBytes(32).toString('base64url')}`;
  const { section, name } = place(caller);
  const file = readTokens(path);
  replace(path, { ...file, [section]: { ...file[section], [name]: sha256(token).toString('hex') } });
  return token;
}

/** Removes the caller's token; false if it had none. */
export function revokeJoinToken(path: string, caller: Caller): boolean {
  const { section, name } = place(caller);
  const file = readTokens(path);
  const { [name]: removed, ...kept } = file[section];
  if (removed !== undefined) replace(path, { ...file, [section]: kept });
  return removed !== undefined;
}

const sha256 = (token: string): Buffer => createHash('sha256').update(token).digest();

const place = (caller: Caller): { readonly section: keyof TokenFile; readonly name: string } =>
  caller.type === 'node'
    ? { section: 'nodes', name: caller.node }
    : { section: 'serviceAccounts', name: `${caller.namespace}/${caller.serviceAccount}` };

const entriesOf = ({ nodes, serviceAccounts }: TokenFile): readonly Entry[] => [
  ...Object.entries(nodes).map(([node, hash]) => entry({ type: 'node', node: node as NodeName }, hash)),
  ...Object.entries(serviceAccounts).map(([name, hash]) => entry(workload(name), hash)),
];

const entry = (caller: Caller, hash: string): Entry => ({ caller, hash: Buffer.from(hash, 'hex') });

const namePattern = /^([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)\/([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)$/;

function workload(name: string): Caller {
  const [, namespace, serviceAccount] = namePattern.exec(name) ?? [];
  if (namespace !== undefined && serviceAccount !== undefined) {
    return { type: 'workload', namespace, serviceAccount };
  }
  throw new MeshError('INVALID_ARGUMENT', `"${name}" among the join tokens is not NAMESPACE/SERVICE-ACCOUNT`);
}

const readTokens = (path: string): TokenFile =>
  existsSync(path)
    ? decode(new HotFile(path, 'join tokens').read(), path)
    : { nodes: {}, serviceAccounts: {} };

function decode(text: string, path: string): TokenFile {
  const file = parseJson(text);
  if (Value.Check(fileSchema, file)) return file;
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

function replace(path: string, file: TokenFile): void {
  const unfinished = `${path}.${randomUUID()}.tmp`;
  try {
    writeFileSync(unfinished, `${JSON.stringify(file, null, 2)}\n`, { mode: 0o600, flag: 'wx' });
    renameSync(unfinished, path);
  } finally {
    rmSync(unfinished, { force: true });
  }
}
