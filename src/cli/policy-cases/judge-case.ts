/** Whether what would become of a connection is what a case expects. Pure. */
import type { MeshError } from '../../base/errors.ts';
import type { ExplainedVerdict } from '../../telemetry/explanation-types.ts';
import type { Explained } from '../explain/explainer.ts';
import type { PolicyCase } from './parse-cases.ts';

export interface CaseResult {
  readonly tested: PolicyCase;
  /** `unknown`: nobody can tell, as when a name leads nowhere. */
  readonly result: 'ok' | 'failed' | 'unknown';
  /** What was found instead; empty if it is as expected. */
  readonly found: string;
  readonly explained: Explained | undefined;
}

export function judgeCase(tested: PolicyCase, explained: Explained): CaseResult {
  const { outcome, verdict } = explained;
  const wanted = tested.expect === 'allow' ? 'allowed' : 'denied';
  const isAsExpected = outcome === wanted && isBy(tested.by, explained);
  const result = isAsExpected ? 'ok' : outcome === 'failed' ? 'unknown' : 'failed';
  return { tested, result, found: isAsExpected ? '' : foundWords(outcome, verdict), explained };
}

export const unknownCase = (tested: PolicyCase, { message, hint }: MeshError): CaseResult => ({
  tested,
  result: 'unknown',
  found: hint === undefined ? message : `${message} (${hint})`,
  explained: undefined,
});

/** `db-callers` is any policy of that name. */
function isBy(by: string | undefined, { ways, verdict }: Explained): boolean {
  if (by === undefined) return true;
  const verdicts = ways.length > 0 ? ways.map((way) => way.verdict) : verdict === null ? [] : [verdict];
  return verdicts.every(({ policy }) => policy === by || policy?.endsWith(`/${by}`) === true);
}

function foundWords(outcome: Explained['outcome'], verdict: ExplainedVerdict | null): string {
  if (verdict === null) return 'it depends on the endpoint';
  const { error, policy, reason } = verdict;
  if (error !== null) return `${outcome}: ${error.message}`;
  return `${outcome}${policy === null ? '' : ` by ${policy}`}: ${reason}`;
}
