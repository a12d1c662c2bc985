/**
 * Asks the nodes of a mesh: any one finds out which pods a question is about, then the source's node and those of the
 * destinations are asked. Their state never leaves them; each answers by its own.
 */
import { asMeshError, MeshError } from '../../base/errors.ts';
import { mapLimited } from '../../base/map-limited.ts';
import type { ExplanationDocument } from '../../telemetry/admin-api.ts';
import { formatExplanationQuery } from '../../telemetry/admin-query.ts';
import type { ExplanationQuery } from '../../telemetry/explanation-types.ts';
import type { CliEnv } from '../env.ts';
import { maxAskedAtOnce, type NodeHandle, type Unreachable } from '../node-handle.ts';
import { findNodes, getDocument, type NodeSelection } from '../nodes.ts';
import type { Answer, ConnectionExplainer } from './explainer.ts';
import { joinAnswers, nodesToAsk } from './join-answers.ts';

/** Nodes that may be silent before nobody else is tried for the first answer. */
const maxSilent = 5;
/** Of a Service with endpoints on many nodes so many are asked: what they say hardly differs. */
const maxDestinations = 8;

/** @throws MeshError UNAVAILABLE when there is no node at all; NOT_FOUND when none has the name asked for */
export async function nodeExplainer(env: CliEnv, selection: NodeSelection): Promise<ConnectionExplainer> {
  const { handles, unreachable } = await findNodes(env, selection);
  return new NodeExplainer(env, selection, handles, unreachable);
}

class NodeExplainer implements ConnectionExplainer {
  readonly #env: CliEnv;
  readonly #selection: NodeSelection;
  readonly #handles: readonly NodeHandle[];
  readonly #missing: ReadonlyMap<string, Unreachable>;
  /** By the names they answer under. */
  readonly #byName: Map<string, NodeHandle>;
  /** Answered last: asked first. */
  #preferred: NodeHandle | undefined;

  constructor(
    env: CliEnv,
    selection: NodeSelection,
    handles: readonly NodeHandle[],
    missing: readonly Unreachable[],
  ) {
    this.#env = env;
    this.#selection = selection;
    this.#handles = handles;
    this.#missing = new Map(missing.map((one) => [one.node, one]));
    this.#byName = new Map(handles.map((handle) => [handle.node, handle]));
  }

  async explain(query: ExplanationQuery): Promise<Answer> {
    const first = await this.#anybody(query);
    if (this.#isRestricted) return { explained: joinAnswers(first, new Map()), unreachable: [] };
    const unreachable: Unreachable[] = [];
    const base = await this.#sources(query, first, unreachable);
    const others = new Map<string, ExplanationDocument>([[base.node, base]]);
    const wanted = nodesToAsk(base).filter((node) => node !== base.node);
    await mapLimited(wanted.slice(0, maxDestinations), maxAskedAtOnce, async (node) => {
      const answer = await this.#named(query, node, unreachable);
      if (answer !== undefined) others.set(answer.node, answer);
    });
    const explained = joinAnswers(base, others);
    const unasked = wanted.slice(maxDestinations);
    const note = `not asked: ${unasked.length} more nodes of endpoints; they are as node ${base.node} has it`;
    return {
      explained: unasked.length === 0 ? explained : { ...explained, notes: [...explained.notes, note] },
      unreachable,
    };
  }

  close(): void {
    for (const handle of this.#handles) handle.close();
  }

  /** One node is to be asked, and no other. */
  get #isRestricted(): boolean {
    return this.#selection.node !== undefined || this.#selection.socket !== undefined;
  }

  /** The first that answers. @throws MeshError its own, if it does not understand the question */
  async #anybody(query: ExplanationQuery): Promise<ExplanationDocument> {
    const { node } = this.#selection;
    const wanted = node === undefined ? undefined : this.#byName.get(node);
    const order = wanted === undefined ? this.#inOrder() : [wanted];
    let silence: MeshError | undefined;
    for (const handle of order.slice(0, maxSilent)) {
      try {
        const answer = await this.#ask(query, handle);
        if (node !== undefined && answer.node !== node) continue;
        this.#preferred = handle;
        return answer;
      } catch (thrown) {
        const error = asMeshError(thrown);
        if (isAnswer(error) || this.#env.interrupted.aborted) throw error;
        silence ??= error;
      }
    }
    throw (
      silence ??
      new MeshError('NOT_FOUND', `there is no node "${node}" here`, { hint: 'see: mesh-ebpf status' })
    );
  }

  #inOrder(): readonly NodeHandle[] {
    const preferred = this.#preferred;
    return preferred === undefined
      ? this.#handles
      : [preferred, ...this.#handles.filter((one) => one !== preferred)];
  }

  async #sources(
    query: ExplanationQuery,
    first: ExplanationDocument,
    unreachable: Unreachable[],
  ): Promise<ExplanationDocument> {
    const { node } = first.source;
    if (node === null || node === first.node) return first;
    return (await this.#named(query, node, unreachable)) ?? first;
  }

  /** Undefined if it does not answer, which is noted. */
  async #named(
    query: ExplanationQuery,
    node: string,
    unreachable: Unreachable[],
  ): Promise<ExplanationDocument | undefined> {
    const handle = this.#byName.get(node);
    if (handle === undefined) {
      unreachable.push(this.#missing.get(node) ?? notThere(node));
      return undefined;
    }
    try {
      return await this.#ask(query, handle);
    } catch (thrown) {
      if (this.#env.interrupted.aborted) throw thrown;
      unreachable.push({ node, where: handle.where, error: asMeshError(thrown) });
      return undefined;
    }
  }

  async #ask(query: ExplanationQuery, handle: NodeHandle): Promise<ExplanationDocument> {
    const answer = await getDocument<ExplanationDocument>(this.#env, handle, {
      target: `/v1/explain?${formatExplanationQuery(query)}`,
      kind: 'Explanation',
      timeout: this.#selection.timeout,
    });
    this.#byName.set(answer.node, handle);
    return answer;
  }
}

/** The node has understood, and says no: another would say so too. */
const isAnswer = ({ code }: MeshError): boolean => code === 'NOT_FOUND' || code === 'INVALID_ARGUMENT';

const notThere = (node: string): Unreachable => ({
  node,
  where: node,
  error: new MeshError('UNAVAILABLE', 'it is not among the nodes that can be asked from here', {
    hint: 'ask from outside with --kubeconfig, or one node only with --node',
  }),
});
