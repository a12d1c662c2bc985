/** Rules that let in, or keep out, more than their author is likely to have meant. */
import type { AuthorizationPolicy, PolicyMatch } from '../../model/policy.ts';
import type { CompiledRule } from '../rules.ts';
import type { Check } from './context.ts';
import { type Finding, finding } from './finding.ts';
import { fieldOf, objectOf, placedMatches, ruleField } from './written.ts';

export const breadth: Check = ({ policies, rules }) => [
  ...rules.flatMap(ruleFindings),
  ...policies.flatMap(asterisks),
];

function ruleFindings(rule: CompiledRule): readonly Finding[] {
  const { policy, clauses } = rule;
  const object = objectOf(policy);
  const at = ruleField(rule);
  if (clauses.length === 0) return emptyRule(policy, at);
  if (policy.action !== 'allow') return [];
  if (!clauses.some(isAboutSource)) {
    const message = 'it does not say from whom: everybody is let in there, plaintext included';
    const hint = 'add from with principals or namespaces';
    return [finding('any-source', object, at, message, hint)];
  }
  if (clauses.some(needsProof)) return [];
  const message = 'it says only who may not: everybody else is let in, plaintext included';
  const hint = 'name whom it is for, or add principals: ["*"] to ask for an identity';
  return [finding('allows-plaintext', object, at, message, hint)];
}

function emptyRule(policy: AuthorizationPolicy, at: string): readonly Finding[] {
  const object = objectOf(policy);
  const reach = policy.scope.type === 'mesh' ? 'in the whole mesh' : 'there';
  switch (policy.action) {
    case 'allow': {
      const message = `an empty rule allows everything ${reach}, plaintext included`;
      return [finding('allows-everything', object, at, message, 'to allow nothing, leave rules out')];
    }
    case 'deny':
    case 'custom': {
      const message = `an empty rule refuses everything ${reach}, whatever is allowed elsewhere`;
      const hint = 'for a default deny that can be opened, write an ALLOW policy without rules';
      return [finding('denies-everything', object, at, message, hint)];
    }
    case 'audit':
      return [];
  }
}

const sourceFields: ReadonlySet<string> = new Set([
  'principals',
  'namespaces',
  'serviceAccounts',
  'trustDomains',
  'ipBlocks',
]);

const isAboutSource = ({ alternatives }: CompiledRule['clauses'][number]): boolean =>
  alternatives.every((conditions) => conditions.some(({ field }) => sourceFields.has(field)));

/** Each alternative says something that must be so of the source. */
const needsProof = ({ alternatives }: CompiledRule['clauses'][number]): boolean =>
  alternatives.every((conditions) =>
    conditions.some(({ field, negated }) => sourceFields.has(field) && !negated),
  );

const whoFields = [
  'principals',
  'namespaces',
  'trustDomains',
] as const satisfies readonly (keyof PolicyMatch)[];

function asterisks(policy: AuthorizationPolicy): readonly Finding[] {
  if (policy.action !== 'allow') return [];
  return placedMatches(policy).flatMap((placed) =>
    whoFields.flatMap((field) => {
      const i = placed.match[field]?.indexOf('*') ?? -1;
      if (i < 0) return [];
      const message = `"*" in ${field} is everybody who is in the mesh`;
      return [finding('any-identity', objectOf(policy), `${fieldOf(placed, field)}[${i}]`, message)];
    }),
  );
}
