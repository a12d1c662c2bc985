/**
 * Finds the nodes of this machine and asks them all. A node that does not answer is listed with the reason and makes
 * the command's exit status "could not find out"; it is never left out silently.
 */
import { asMeshError, MeshError } from '../base/errors.ts';
import { adminApiVersion, type DocumentHead, type ErrorDocument } from '../telemetry/admin-api.ts';
import type { CliEnv } from './env.ts';
import { type Place, socketName, socketPlaces } from './places.ts';

export interface NodeSelection {
  /** Only the node of this name. */
  readonly node?: string;
  /** Only this socket, wherever it is. */
  readonly socket?: string;
  /** Longest wait for one node, milliseconds. */
  readonly timeout: number;
}

export interface Unreachable {
  readonly node: string;
  readonly socket: string;
  readonly error: MeshError;
}

export interface Answers<Doc> {
  readonly documents: readonly Doc[];
  /** The socket of each node that answered, by its name. */
  readonly sockets: ReadonlyMap<string, string>;
  readonly unreachable: readonly Unreachable[];
}

interface Candidate {
  /** Its directory's name; the real one is in its answers. */
  readonly node: string;
  readonly socket: string;
}

/**
 * GETs `target` from every selected node at once.
 * @throws MeshError UNAVAILABLE when there is no node at all; NOT_FOUND when none has the name asked for.
 */
export async function askNodes<Doc extends DocumentHead<string>>(
  env: CliEnv,
  selection: NodeSelection,
  request: { readonly target: string; readonly kind: Doc['kind'] },
): Promise<Answers<Doc>> {
  const candidates = await discover(env, selection);
  const documents: Doc[] = [];
  const sockets = new Map<string, string>();
  const unreachable: Unreachable[] = [];
  await Promise.all(
    candidates.map(async (candidate) => {
      const answer = await askOne<Doc>(env, selection, candidate, request);
      if (answer instanceof MeshError) {
        unreachable.push({ ...candidate, error: answer });
        return;
      }
      documents.push(answer);
      sockets.set(answer.node, candidate.socket);
    }),
  );
  const answers = { documents: sortedByNode(documents), sockets, unreachable: sortedByNode(unreachable) };
  return selection.node === undefined ? answers : onlyNode(selection.node, answers);
}

async function discover(env: CliEnv, selection: NodeSelection): Promise<readonly Candidate[]> {
  const { socket } = selection;
  if (socket !== undefined) return [{ node: selection.node ?? socket, socket }];
  const found = (await Promise.all(socketPlaces.map((place) => socketsIn(env, place)))).flat();
  if (found.length > 0) return found;
  const looked = socketPlaces
    .map(({ directory, each }) => (each ? `${directory}/*` : directory))
    .join(' and ');
  throw new MeshError(
    'UNAVAILABLE',
    `no node of the mesh runs on this machine (no admin socket in ${looked})`,
    {
      hint: 'start one with "mesh-ebpf lab up" or "mesh-ebpf node", or name its socket with --socket',
    },
  );
}

async function socketsIn(env: CliEnv, { directory, each }: Place): Promise<readonly Candidate[]> {
  const names = await env.files.list(directory);
  if (!each) {
    return names.includes(socketName) ? [{ node: 'node', socket: `${directory}/${socketName}` }] : [];
  }
  // A directory without a socket is a node that is down: it shall be listed, so it is asked in vain.
  return names.map((name) => ({ node: name, socket: `${directory}/${name}/${socketName}` }));
}

async function askOne<Doc extends DocumentHead<string>>(
  env: CliEnv,
  { timeout }: NodeSelection,
  { socket }: Candidate,
  { target, kind }: { readonly target: string; readonly kind: Doc['kind'] },
): Promise<Doc | MeshError> {
  try {
    return await getDocument<Doc>(env, socket, { target, kind, timeout });
  } catch (thrown) {
    if (env.interrupted.aborted) throw thrown;
    return asMeshError(thrown);
  }
}

/** @throws MeshError with the code, message and hint the node answered, or why it did not. */
export async function getDocument<Doc extends DocumentHead<string>>(
  env: CliEnv,
  socket: string,
  request: { readonly target: string; readonly kind: Doc['kind']; readonly timeout: number },
): Promise<Doc> {
  const signal = AbortSignal.any([env.interrupted, AbortSignal.timeout(request.timeout)]);
  const { document } = await env.adminRequest(socket, { method: 'GET', target: request.target, signal });
  const head = headOf(document);
  if (head?.kind === request.kind) return document as Doc;
  if (head?.kind === 'Error') throw nodeError(document);
  throw new MeshError(
    'UNSUPPORTED',
    `the node answered ${head?.kind ?? 'nothing known'} instead of ${request.kind}`,
    {
      hint: 'the node runs another version of mesh-ebpf; compare "mesh-ebpf version" on both sides',
    },
  );
}

function headOf(document: unknown): { readonly kind: string } | undefined {
  if (typeof document !== 'object' || document === null) return undefined;
  const { apiVersion, kind } = document as Partial<DocumentHead<string>>;
  return apiVersion === adminApiVersion && typeof kind === 'string' ? { kind } : undefined;
}

function nodeError(document: unknown): MeshError {
  const { code, message, hint } = document as Partial<ErrorDocument>;
  const options = typeof hint === 'string' ? { hint } : {};
  return new MeshError(code ?? 'INTERNAL', message ?? 'the node reported an error without words', options);
}

function onlyNode<Doc extends DocumentHead<string>>(name: string, answers: Answers<Doc>): Answers<Doc> {
  const only = <T extends { readonly node: string }>(all: readonly T[]): readonly T[] =>
    all.filter(({ node }) => node === name);
  const documents = only(answers.documents);
  const unreachable = only(answers.unreachable);
  if (documents.length > 0 || unreachable.length > 0) {
    const sockets = new Map([...answers.sockets].filter(([node]) => node === name));
    return { documents, sockets, unreachable: documents.length > 0 ? [] : unreachable };
  }
  const known = [...answers.documents, ...answers.unreachable].map(({ node }) => node).join(', ');
  throw new MeshError('NOT_FOUND', `there is no node "${name}" here`, { hint: `nodes: ${known}` });
}

const sortedByNode = <T extends { readonly node: string }>(all: readonly T[]): readonly T[] =>
  all.toSorted((a, b) => (a.node < b.node ? -1 : 1));
