/**
 * What the status of a policy shall say, in the shape of Istio's and Kubernetes' conditions. Ours have names of their
 * own: istiod writes `ZtunnelAccepted` for its ztunnel and replaces only what is its own, so neither of us undoes the
 * other. Pure.
 */
import { formatProblem } from '../../kube/problem.ts';
import { generationAt, type Generations } from './generations.ts';
import { countBelow, type KindProgress } from './node-progress.ts';
import type { Condition, PolicyRecord } from './record.ts';

export interface Said {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
}

/** Whether the nodes take the policy as it stands. */
export const acceptedType = 'mesh-ebpf.io/Accepted';
/** Which nodes run this generation of it. */
export const programmedType = 'mesh-ebpf.io/Programmed';

/** People read it; a policy with a thousand mistakes shows the first. */
const longestMessage = 2048;

export function acceptance({ problems }: Pick<PolicyRecord, 'problems'>): Said {
  const message = shortened(problems.map((each) => formatProblem({ ...each, object: undefined })).join('; '));
  if (problems.some(({ severity }) => severity === 'error')) {
    return { type: acceptedType, status: 'False', reason: 'Invalid', message };
  }
  // Istio says True and this reason, too, of a policy that was made stricter.
  return problems.length > 0
    ? { type: acceptedType, status: 'True', reason: 'UnsupportedValue', message }
    : { type: acceptedType, status: 'True', reason: 'Accepted', message: 'in force as written' };
}

const shortened = (text: string): string =>
  text.length <= longestMessage ? text : `${text.slice(0, longestMessage - 1)}…`;

const programmed = (status: Said['status'], reason: string, message: string): Said => ({
  type: programmedType,
  status,
  reason,
  message,
});

/** What the nodes of `progress` run of a policy that they accept. */
export function programming(
  { generation }: Pick<PolicyRecord, 'generation'>,
  history: Generations,
  progress: KindProgress,
): Said {
  const { total, reported, silent } = progress;
  const since = history.seen.at(-1)?.version;
  if (total === 0 || silent === total || since === undefined) {
    return programmed('Unknown', 'Pending', 'no node has reported what it runs');
  }
  const behind = countBelow(reported, since);
  const running = reported.length - behind;
  if (running === total) {
    const all = total === 1 ? 'the only node runs' : `all ${total} nodes run`;
    return programmed('True', 'Programmed', `${all} generation ${generation}`);
  }
  const oldest = oldestOf(history, progress, behind);
  const text = `${running} of ${total} nodes run generation ${generation}; ${oldest}`;
  return programmed('False', 'Progressing', text);
}

/** The node that is to be looked at first. */
function oldestOf(
  history: Generations,
  { reported, silent, firstSilent }: KindProgress,
  behind: number,
): string {
  const [first] = reported;
  if (behind > 0 && first !== undefined) {
    const generation = generationAt(history, first.version);
    const runs = generation === undefined ? 'an earlier one, or none' : String(generation);
    return `oldest: ${first.node} runs ${runs}`;
  }
  return `${silent} ${silent === 1 ? 'has' : 'have'} not reported, ${firstSilent ?? ''} first`;
}

export const notAccepted: Said = programmed(
  'False',
  'NotAccepted',
  'nodes run the last good version; where there is none, the strictest reading of this one',
);

const generationOf = ({ observedGeneration }: Condition): number | undefined =>
  observedGeneration === undefined ? undefined : Number(observedGeneration);

/**
 * What was said of this generation stays said once every node runs it: nodes that come later read the newest first, and
 * what they do is no news about ten thousand policies.
 */
export function isProgrammed({ conditions, generation }: PolicyRecord): boolean {
  const known = conditions.find(({ type }) => type === programmedType);
  return known?.status === 'True' && generationOf(known) === generation;
}

/** All conditions, with ours as they shall be; those of others as they are. Undefined: they are so already. */
export function withConditions(
  { conditions, generation }: Pick<PolicyRecord, 'conditions' | 'generation'>,
  said: readonly Said[],
  now: number,
): readonly Condition[] | undefined {
  const find = (type: string): Condition | undefined => conditions.find((each) => each.type === type);
  if (said.every((each) => isSaid(find(each.type), each, generation))) return undefined;
  const types = new Set(said.map(({ type }) => type));
  const time = new Date(now).toISOString().replace(/\.\d+Z$/, 'Z');
  const ours = said.map((each) => ({
    ...each,
    observedGeneration: generation,
    lastTransitionTime: transition(find(each.type), each) ?? time,
  }));
  return [...conditions.filter(({ type }) => !types.has(type)), ...ours];
}

export const withoutOurs = (conditions: readonly Condition[]): readonly Condition[] =>
  conditions.filter(({ type }) => type !== acceptedType && type !== programmedType);

const isSaid = (known: Condition | undefined, said: Said, generation: number): boolean =>
  known !== undefined &&
  known.status === said.status &&
  known.reason === said.reason &&
  known.message === said.message &&
  generationOf(known) === generation;

/** By convention the time of a change of `status`, and of nothing else. */
function transition(known: Condition | undefined, { status }: Said): string | undefined {
  const time = known?.status === status ? known.lastTransitionTime : undefined;
  return typeof time === 'string' ? time : undefined;
}
