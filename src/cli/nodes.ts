/**
 * Finds the nodes a command is about and asks them all. A node that does not answer is listed with the reason and
 * makes the command's exit status "could not find out"; it is never left out silently.
 */
import { asMeshError, MeshError } from '../base/errors.ts';
import { mapLimited } from '../base/map-limited.ts';
import { adminApiVersion, type DocumentHead, type ErrorDocument } from '../telemetry/admin-api.ts';
import { chooseCluster } from './cluster/choose.ts';
import { findClusterNodes, noSuchNode } from './cluster/find-nodes.ts';
import type { CliEnv } from './env.ts';
import { errorFromWire } from './inspect/protocol.ts';
import { localNodes, nodeAtSocket, noLocalNode } from './local-nodes.ts';
import {
  type Found,
  maxAskedAtOnce,
  type NodeChoice,
  type NodeHandle,
  sortedByNode,
  type Unreachable,
} from './node-handle.ts';

export interface NodeSelection extends NodeChoice {
  /** Only this socket, wherever it is. */
  readonly socket?: string;
}

export interface Answers<Doc> {
  readonly documents: readonly Doc[];
  /** Each node that answered, by its name. */
  readonly answered: ReadonlyMap<string, NodeHandle>;
  readonly unreachable: readonly Unreachable[];
}

interface Question<Doc extends DocumentHead<string>> {
  readonly target: string;
  readonly kind: Doc['kind'];
  /** GET if absent. */
  readonly method?: 'GET' | 'PUT';
  readonly body?: string;
}

/**
 * Asks every selected node.
 * @throws MeshError UNAVAILABLE when there is no node at all; NOT_FOUND when none has the name asked for.
 */
export async function askNodes<Doc extends DocumentHead<string>>(
  env: CliEnv,
  selection: NodeSelection,
  question: Question<Doc>,
): Promise<Answers<Doc>> {
  return await askChosen<Doc>(env, selection, question, await findNodes(env, selection));
}

/** Asks one node after the other until one answers: for what every node knows. @throws MeshError as `askNodes` */
export async function askAny<Doc extends DocumentHead<string>>(
  env: CliEnv,
  selection: NodeSelection,
  question: Question<Doc>,
): Promise<{ readonly document: Doc | undefined; readonly unreachable: readonly Unreachable[] }> {
  const { handles, unreachable } = await findNodes(env, selection);
  const silent: Unreachable[] = [...unreachable];
  // On this machine only its answer tells which node it is.
  const turns = selection.node === undefined ? handles.map((handle) => [handle]) : [handles];
  for (const turn of turns) {
    const answers = await askChosen<Doc>(env, selection, question, { handles: turn, unreachable: [] });
    const [document] = answers.documents;
    if (document !== undefined) return { document, unreachable: [] };
    silent.push(...answers.unreachable);
  }
  return { document: undefined, unreachable: silent };
}

/** As `askNodes`, but never a cluster's. */
export async function askLocalNodes<Doc extends DocumentHead<string>>(
  env: CliEnv,
  selection: NodeSelection,
  question: Question<Doc>,
): Promise<Answers<Doc>> {
  return await askChosen<Doc>(env, selection, question, await findLocal(env, selection));
}

async function askChosen<Doc extends DocumentHead<string>>(
  env: CliEnv,
  selection: NodeSelection,
  question: Question<Doc>,
  found: Found<NodeHandle>,
): Promise<Answers<Doc>> {
  const answers = await askFound<Doc>(env, selection, question, found);
  return selection.node === undefined ? answers : onlyNode(selection.node, answers);
}

async function askFound<Doc extends DocumentHead<string>>(
  env: CliEnv,
  { timeout }: Pick<NodeSelection, 'timeout'>,
  question: Question<Doc>,
  found: Found<NodeHandle>,
): Promise<Answers<Doc>> {
  const documents: Doc[] = [];
  const answered = new Map<string, NodeHandle>();
  const unreachable: Unreachable[] = [...found.unreachable];
  await mapLimited(found.handles, maxAskedAtOnce, async (handle) => {
    const answer = await askOne<Doc>(env, handle, { ...question, timeout });
    handle.close();
    if (answer instanceof MeshError) {
      unreachable.push({ node: handle.node, where: handle.where, error: answer });
      return;
    }
    documents.push(answer);
    answered.set(answer.node, handle);
  });
  return { documents: sortedByNode(documents), answered, unreachable: sortedByNode(unreachable) };
}

/** Those selected, asked or not. @throws MeshError UNAVAILABLE when there is none */
export async function findNodes(env: CliEnv, selection: NodeSelection): Promise<Found<NodeHandle>> {
  if (selection.socket !== undefined) return await findLocal(env, selection);
  const isLocal = async (): Promise<boolean> => (await localNodes(env)).length > 0;
  const cluster = await chooseCluster(env, selection, isLocal);
  if (cluster !== undefined) return await findClusterNodes(env, cluster, selection);
  return await findLocal(env, selection);
}

async function findLocal(env: CliEnv, { socket, node }: NodeSelection): Promise<Found<NodeHandle>> {
  const handles = socket === undefined ? await localNodes(env) : [nodeAtSocket(env, node ?? socket, socket)];
  if (handles.length === 0) throw noLocalNode();
  return { handles, unreachable: [] };
}

async function askOne<Doc extends DocumentHead<string>>(
  env: CliEnv,
  handle: NodeHandle,
  question: Question<Doc> & { readonly timeout: number },
): Promise<Doc | MeshError> {
  try {
    return await getDocument<Doc>(env, handle, question);
  } catch (thrown) {
    if (env.interrupted.aborted) throw thrown;
    return asMeshError(thrown);
  }
}

/** @throws MeshError with the code, message and hint the node answered, or why it did not. */
export async function getDocument<Doc extends DocumentHead<string>>(
  env: CliEnv,
  handle: NodeHandle,
  question: Question<Doc> & { readonly timeout: number },
): Promise<Doc> {
  const signal = AbortSignal.any([env.interrupted, AbortSignal.timeout(question.timeout)]);
  const { target, method = 'GET', body } = question;
  const { document } = await handle.admin({
    method,
    target,
    signal,
    ...(body === undefined ? {} : { body }),
  });
  const head = headOf(document);
  if (head?.kind === question.kind) return document as Doc;
  if (head?.kind === 'Error') throw nodeError(document);
  throw new MeshError(
    'UNSUPPORTED',
    `the node answered ${head?.kind ?? 'nothing known'} instead of ${question.kind}`,
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
  return errorFromWire({
    code: String(code),
    message: typeof message === 'string' ? message : 'the node reported an error without words',
    hint: typeof hint === 'string' ? hint : null,
  });
}

/** On this machine a node's name is known only when it answers. */
function onlyNode<Doc extends DocumentHead<string>>(name: string, answers: Answers<Doc>): Answers<Doc> {
  const only = <T extends { readonly node: string }>(all: readonly T[]): readonly T[] =>
    all.filter(({ node }) => node === name);
  const documents = only(answers.documents);
  const unreachable = only(answers.unreachable);
  if (documents.length > 0 || unreachable.length > 0) {
    const answered = new Map([...answers.answered].filter(([node]) => node === name));
    return { documents, answered, unreachable: documents.length > 0 ? [] : unreachable };
  }
  throw noSuchNode(name, [...answers.documents, ...answers.unreachable], 'here');
}
