/**
 * Which policy is behind a verdict in force. The kernel has a yes only, so the node program is asked what it would say
 * now: while the verdict is in force nothing has changed, and that is why it was given.
 */
import { asMeshError, type MeshError } from '../../base/errors.ts';
import { formatSocketAddress, parseIp, parsePort } from '../../base/ip.ts';
import type { ExplanationDocument } from '../../telemetry/admin-api.ts';
import { formatExplanationQuery } from '../../telemetry/admin-query.ts';
import type { ExplainedVerdict } from '../../telemetry/explanation-types.ts';
import type { CliEnv } from '../env.ts';
import type { KernelHandle } from '../node-handle.ts';
import { getDocument } from '../nodes.ts';
import { entryKey, verdictEntry, type VerdictEntry } from './entries.ts';

/** Pairs a node program is asked about, one after the other; the rest goes without. */
export const maxAsked = 100;

export type ExplainedEntry = VerdictEntry & {
  /** What the node program says of it; null: it was not asked, or does not know. */
  readonly verdict: Pick<ExplainedVerdict, 'outcome' | 'policy' | 'reason'> | null;
};

export interface ExplainedEntries {
  readonly entries: readonly ExplainedEntry[];
  /** In force, and not asked about. */
  readonly unasked: number;
  /** Why the node program does not say. */
  readonly silence: MeshError | undefined;
}

/** Never fails for the node program's sake: the entries are the kernel's. */
export async function explainEntries(
  env: CliEnv,
  kernel: KernelHandle,
  entries: readonly VerdictEntry[],
  { timeout, signal }: { readonly timeout: number; readonly signal: AbortSignal },
): Promise<ExplainedEntries> {
  const inForce = entries.filter(({ state }) => state === 'in force');
  const { verdicts, silence } = await askAll(env, kernel, inForce.slice(0, maxAsked), timeout);
  // What is denied by now may have been taken back while we asked.
  const doubted = [...verdicts.values()].some(isDenied);
  const taken = doubted ? await takenBack(kernel, inForce, signal) : new Set<string>();
  return {
    entries: entries.map((entry) =>
      taken.has(entryKey(entry))
        ? { ...entry, state: 'outdated', verdict: null }
        : { ...entry, verdict: summaryOf(verdicts.get(entryKey(entry))) },
    ),
    unasked: Math.max(0, inForce.length - maxAsked),
    silence,
  };
}

const isDenied = ({ outcome }: ExplainedVerdict): boolean => outcome === 'denied';

const summaryOf = (verdict: ExplainedVerdict | undefined): ExplainedEntry['verdict'] =>
  verdict === undefined ? null : { outcome: verdict.outcome, policy: verdict.policy, reason: verdict.reason };

/** By entry; none for a pair of which the node program does not know an end any more. */
async function askAll(
  env: CliEnv,
  kernel: KernelHandle,
  entries: readonly VerdictEntry[],
  timeout: number,
): Promise<{ readonly verdicts: Map<string, ExplainedVerdict>; readonly silence: MeshError | undefined }> {
  const verdicts = new Map<string, ExplainedVerdict>();
  for (const entry of entries) {
    const answer = await askAbout(env, kernel, entry, timeout);
    if ('outcome' in answer) verdicts.set(entryKey(entry), answer);
    else if (answer.code !== 'NOT_FOUND') return { verdicts, silence: answer };
  }
  return { verdicts, silence: undefined };
}

async function askAbout(
  env: CliEnv,
  kernel: KernelHandle,
  { sourceIp, destinationIp, port }: VerdictEntry,
  timeout: number,
): Promise<ExplainedVerdict | MeshError> {
  try {
    const to = formatSocketAddress({ ip: parseIp(destinationIp), port: parsePort(String(port)) });
    const { ways, verdict } = await getDocument<ExplanationDocument>(env, kernel, {
      target: `/v1/explain?${formatExplanationQuery({ from: sourceIp, to })}`,
      kind: 'Explanation',
      timeout,
    });
    return ways[0]?.verdict ?? verdict ?? unknown;
  } catch (thrown) {
    if (env.interrupted.aborted) throw thrown;
    return asMeshError(thrown);
  }
}

const unknown = {
  outcome: 'failed',
  policy: null,
  reason: 'the node program does not say',
  error: null,
  audit: null,
  dryRun: null,
} as const satisfies ExplainedVerdict;

async function takenBack(
  kernel: KernelHandle,
  before: readonly VerdictEntry[],
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  const now = (await kernel.dump('verdicts', signal)).map(verdictEntry);
  const still = new Set(now.filter(({ state }) => state === 'in force').map(entryKey));
  return new Set(before.map(entryKey).filter((key) => !still.has(key)));
}
