/**
 * One explanation of what several nodes say: the source's node knows whether and how a connection leaves, each
 * destination's node what becomes of it there. Pure.
 */
import type { ExplanationDocument } from '../../telemetry/admin-api.ts';
import type { ExplainedVerdict, ExplainedWay, ExplanationBody } from '../../telemetry/explanation-types.ts';
import { bodyOf, type Explained } from './explainer.ts';

/** The nodes whose word on a way counts: those of the endpoints that tell it. */
export const nodesToAsk = ({ ways }: ExplanationBody): readonly string[] => [
  ...new Set(ways.flatMap((way) => (way.path === null ? [] : (representative(way)?.node ?? [])))),
];

const representative = ({ endpoints }: ExplainedWay): ExplainedWay['endpoints'][number] | undefined =>
  endpoints[0];

/** `others`: by node. */
export function joinAnswers(
  base: ExplanationDocument,
  others: ReadonlyMap<string, ExplanationDocument>,
): Explained {
  const told = base.ways.map((way) => tellWay(base, way, others));
  const ways = told.map(({ way }) => way);
  const asked = [base.node, ...others.keys()];
  return {
    nodes: [...new Set(asked)],
    ...bodyOf(base),
    ways,
    ...outcomeOf(base, ways),
    notes: [...base.notes, ...told.flatMap(({ note }) => note ?? [])],
  };
}

interface Told {
  readonly way: ExplainedWay;
  readonly note?: string;
}

/** What the source's node stops is stopped, whatever the other one would say. */
function tellWay(
  base: ExplanationDocument,
  way: ExplainedWay,
  others: ReadonlyMap<string, ExplanationDocument>,
): Told {
  const own = { ...way, answeredBy: base.node };
  const endpoint = representative(way);
  const answer = others.get(endpoint?.node ?? '');
  if (answer === undefined || way.path === null) return { way: own };
  const theirs = answer.ways.find(({ endpoints }) =>
    endpoints.some(({ address }) => address === endpoint?.address),
  );
  if (theirs === undefined || answer.capture.captured !== base.capture.captured) {
    return {
      way: own,
      note: `node ${answer.node} does not see this connection coming as node ${base.node} does`,
    };
  }
  const joined = {
    ...theirs,
    endpoints: way.endpoints,
    endpointCount: way.endpointCount,
    answeredBy: answer.node,
  };
  return isSame(theirs.verdict, way.verdict)
    ? { way: joined }
    : {
        way: joined,
        note: `node ${base.node} has another version of the mesh, by which it would be ${way.verdict.outcome}: ${way.verdict.reason}`,
      };
}

const isSame = (a: ExplainedVerdict, b: ExplainedVerdict): boolean =>
  a.outcome === b.outcome && a.policy === b.policy;

/** What stopped before there was any way stays as it was. */
function outcomeOf(
  base: ExplanationBody,
  ways: readonly ExplainedWay[],
): Pick<ExplanationBody, 'outcome' | 'verdict'> {
  const changed = ways.some(
    (way, i) => base.ways[i] !== undefined && !isSame(way.verdict, base.ways[i].verdict),
  );
  if (!changed) return { outcome: base.outcome, verdict: base.verdict };
  const [first, ...rest] = ways.map(({ verdict }) => verdict);
  return first !== undefined && rest.every(({ outcome }) => outcome === first.outcome)
    ? { outcome: first.outcome, verdict: first }
    : { outcome: 'depends', verdict: null };
}
