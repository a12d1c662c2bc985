/** Whoever can say what would become of a connection: the nodes of a mesh, or the files it would be made from. */
import { createCompiler } from '../../policy/authorize.ts';
import { adminApiVersion, type ExplanationDocument } from '../../telemetry/admin-api.ts';
import type { ExplanationBody, ExplanationQuery } from '../../telemetry/explanation-types.ts';
import { createExplainer } from '../../ztunnel/explanation/explanation.ts';
import type { Unreachable } from '../node-handle.ts';
import type { MeshOfFiles } from '../offline/mesh-of-files.ts';

/** What `-o json` prints, but for who did not answer. */
export interface Explained extends ExplanationBody {
  /** Those that answered, the source's first; none when files were asked. */
  readonly nodes: readonly string[];
}

export interface Answer {
  readonly explained: Explained;
  readonly unreachable: readonly Unreachable[];
}

export interface ConnectionExplainer {
  /** @throws MeshError NOT_FOUND, INVALID_ARGUMENT for names that lead nowhere; UNAVAILABLE when nobody can be asked */
  explain(query: ExplanationQuery): Promise<Answer>;
  close(): void;
}

/** Every pod that belongs into the mesh is taken to be captured, and to have its certificate. */
export function fileExplainer({ view }: MeshOfFiles): ConnectionExplainer {
  const explain = createExplainer({
    policySetFor: createCompiler(),
    enrolment: () => undefined,
    certificate: () => undefined,
  });
  return {
    explain: async (query) =>
      await Promise.resolve({ explained: { nodes: [], ...explain(view, query) }, unreachable: [] }),
    close: () => {},
  };
}

/** Of a node's document what it says, without whose it is. */
export function bodyOf(document: ExplanationDocument): ExplanationBody {
  const { apiVersion: _version, kind: _kind, node: _node, time: _time, ...body } = document;
  return body;
}

export const explanationDocument = ({ explained, unreachable }: Answer): object => ({
  apiVersion: adminApiVersion,
  kind: 'Explanation',
  ...explained,
  unreachable: unreachable.map(({ node, where, error }) => ({
    node,
    where,
    code: error.code,
    message: error.message,
  })),
});
