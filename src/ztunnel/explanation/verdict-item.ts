/** What became of a connection, in the words in which the access log has it. Pure. */
import type { Verdict } from '../../model/connection.ts';
import type { ExplainedVerdict } from '../../telemetry/explanation-types.ts';
import type { Judgement } from './journey.ts';

export function verdictItem(
  { verdict, refused }: Judgement,
  unasked = 'no policy is asked',
): ExplainedVerdict {
  const { audit, dryRun } = verdict ?? {};
  return {
    outcome: outcomeOf({ verdict, refused }),
    policy: verdict?.policy ?? null,
    reason: verdict?.reason ?? refused?.error.message ?? unasked,
    error: refused === undefined ? null : errorItem(refused),
    audit: audit ?? null,
    dryRun: dryRun === undefined ? null : decided(dryRun),
  };
}

function outcomeOf({ verdict, refused }: Judgement): ExplainedVerdict['outcome'] {
  if (refused === undefined) return verdict?.allowed === false ? 'denied' : 'allowed';
  return refused.error.code === 'POLICY_DENIED' ? 'denied' : 'failed';
}

const errorItem = ({ hop, error }: NonNullable<Judgement['refused']>): ExplainedVerdict['error'] => ({
  code: error.code,
  hop,
  message: error.message,
  hint: error.hint ?? null,
});

const decided = ({ allowed, policy, reason }: Verdict): ExplainedVerdict['dryRun'] => ({
  allowed,
  policy: policy ?? null,
  reason,
});
