/**
 * The L4 decision. Pure: the policies in force for a workload and the facts of one connection give a verdict. Used by
 * ztunnel, by `explain` and by tests alike. Order as in Istio: plaintext where mutual TLS is required is refused, then
 * what a CUSTOM or a DENY matches; with no ALLOW policy at all everything else is as the namespace's default says, which
 * is to allow it; else one must match.
 */
import type { Verdict } from '../model/connection.ts';
import type { PolicyAction } from '../model/policy.ts';
import { type AccessFacts, type Attributes, attributesOf } from './attributes.ts';
import { effectiveMode } from './peer-authentication.ts';
import type { Layer, Layers, PolicyPart, PolicySet } from './policy-set.ts';
import { matchReason, nearMissReason } from './reason.ts';
import type { CompiledRule } from './rules.ts';

export function evaluate(policies: PolicySet, facts: AccessFacts): Verdict {
  const { parts, peers, inboundDefault } = policies;
  const refused = refusedPlaintext(peers, facts);
  if (refused !== undefined) return refused;
  const attributes = attributesOf(facts);
  const enforced = layersOf(parts, ({ enforced: layers }) => layers);
  const verdict = decide(enforced, attributes, inboundDefault);
  const audit = firstMatch(enforced, 'audit', attributes)?.policy.key;
  const dryRun = rehearse(policies, attributes, verdict);
  return {
    ...verdict,
    ...(audit === undefined ? {} : { audit }),
    ...(dryRun === undefined ? {} : { dryRun }),
  };
}

const layersOf = (parts: readonly PolicyPart[], choose: (part: PolicyPart) => Layers): readonly Layers[] =>
  parts.map(choose);

function refusedPlaintext(peers: PolicySet['peers'], { identity, port }: AccessFacts): Verdict | undefined {
  if (identity !== undefined) return undefined;
  const { mode, policy } = effectiveMode(peers, port);
  if (mode !== 'strict') return undefined;
  const reason = `port ${port} takes mutual TLS only (STRICT) and the source has no identity (plaintext)`;
  return { allowed: false, policy, reason };
}

function decide(
  layers: readonly Layers[],
  attributes: Attributes,
  inboundDefault: Verdict | undefined,
): Verdict {
  const refusal = firstMatch(layers, 'custom', attributes) ?? firstMatch(layers, 'deny', attributes);
  if (refusal !== undefined) return decidedBy(refusal, attributes);
  const allowing = layers.map(({ allow }) => allow);
  if (allowing.every(({ policies }) => policies.length === 0)) return inboundDefault ?? byDefault(layers);
  const missed: CompiledRule[] = [];
  const permission = firstMatch(layers, 'allow', attributes, missed);
  if (permission !== undefined) return decidedBy(permission, attributes);
  return { allowed: false, policy: undefined, reason: nearMissReason(allowing, missed, attributes) };
}

function decidedBy(rule: CompiledRule, attributes: Attributes): Verdict {
  const { key, action } = rule.policy;
  return { allowed: action === 'allow', policy: key, reason: matchReason(rule, attributes) };
}

function byDefault(layers: readonly Layers[]): Verdict {
  const refusing = layers.flatMap(({ custom, deny }): readonly Layer[] => [custom, deny]);
  const reason = refusing.every(({ policies }) => policies.length === 0)
    ? 'no policy applies'
    : 'no DENY policy matches and there is no ALLOW policy';
  return { allowed: true, policy: undefined, reason };
}

/** Of the parts' first matches the first by key. `missed` gets some of the rules that were compared and did not match. */
function firstMatch(
  layers: readonly Layers[],
  action: PolicyAction,
  attributes: Attributes,
  missed?: CompiledRule[],
): CompiledRule | undefined {
  let first: CompiledRule | undefined;
  for (const layer of layers) {
    const match = layer[action].index.first(attributes, missed);
    if (match !== undefined && (first === undefined || match.policy.key < first.policy.key)) first = match;
  }
  return first;
}

/** What the verdict would be with the policies in dry run; undefined if it would be the same. */
function rehearse(
  { parts, inboundDefault }: PolicySet,
  attributes: Attributes,
  { allowed }: Verdict,
): Verdict | undefined {
  if (parts.every(({ rehearsed }) => rehearsed === undefined)) return undefined;
  const verdict = decide(
    layersOf(parts, ({ rehearsed, enforced }) => rehearsed ?? enforced),
    attributes,
    inboundDefault,
  );
  return verdict.allowed === allowed ? undefined : verdict;
}
