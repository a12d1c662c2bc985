/** Policies as they are written: each match with its place, so that a finding can point at it. */
import type { AuthorizationPolicy, PolicyMatch } from '../../model/policy.ts';
import { fieldName } from '../reason.ts';
import type { Condition, PolicyField } from '../conditions.ts';
import type { CompiledRule } from '../rules.ts';
import type { LintedObject } from './finding.ts';

export const objectOf = ({ namespace, name }: AuthorizationPolicy): LintedObject => ({
  kind: 'AuthorizationPolicy',
  namespace,
  name,
});

/** One source, one operation, or one entry of `when`. */
export interface PlacedMatch {
  readonly match: PolicyMatch;
  readonly part: 'from' | 'to' | 'when';
  /** `spec.rules[0].from[1]`. */
  readonly at: string;
}

export const ruleField = ({ number }: Pick<CompiledRule, 'number'>): string => `spec.rules[${number - 1}]`;

export function placedMatches(policy: AuthorizationPolicy): readonly PlacedMatch[] {
  return policy.rules.flatMap((rule, i) => {
    const at = ruleField({ number: rule.number ?? i + 1 });
    return (['from', 'to', 'when'] as const).flatMap((part) =>
      (rule[part] ?? []).map((match, k) => ({ match, part, at: `${at}.${part}[${k}]` })),
    );
  });
}

/** Where the values of a field stand: `spec.rules[0].from[1].source.namespaces`, `….when[0].values`. */
export function fieldOf({ part, at }: Pick<PlacedMatch, 'part' | 'at'>, field: PolicyField): string {
  switch (part) {
    case 'from':
      return `${at}.source.${field}`;
    case 'to':
      return `${at}.operation.${field}`;
    case 'when':
      return `${at}.${field.startsWith('not') ? 'notValues' : 'values'}`;
  }
}

/** Where a condition of the `alternative`th alternative of a rule's clause stands. */
export function conditionField(
  rule: CompiledRule,
  { part, index }: { readonly part: PlacedMatch['part']; readonly index: number },
  condition: Condition,
): string {
  return fieldOf({ part, at: `${ruleField(rule)}.${part}[${index}]` }, fieldName(condition));
}
