/** Rules that cannot match because their conditions exclude each other, and objects of which only one can count. */
import type { PeerAuthentication } from '../../model/policy.ts';
import type { Condition } from '../conditions.ts';
import { fieldName } from '../reason.ts';
import type { Clause, CompiledRule } from '../rules.ts';
import type { Check } from './context.ts';
import { type Finding, finding } from './finding.ts';
import { exclusion } from './implies.ts';
import { scopeKey } from '../scope-key.ts';
import { conditionField, objectOf } from './written.ts';

export const contradictions: Check = ({ rules, input }) => [
  ...rules.flatMap(contradictionsIn),
  ...competing([...input.view.peerAuthentications.values()]),
];

/** What stands under `when` holds for each source and each operation. */
function contradictionsIn(rule: CompiledRule): readonly Finding[] {
  const always = rule.clauses.filter(({ part }) => part === 'when');
  const given = always.flatMap(({ alternatives }) => alternatives.flat());
  return rule.clauses.flatMap((clause) => clauseContradictions(rule, clause, given));
}

function clauseContradictions(
  rule: CompiledRule,
  clause: Clause,
  always: readonly Condition[],
): readonly Finding[] {
  return clause.alternatives.flatMap((conditions, i) => {
    const beside = clause.part === 'when' ? [] : always;
    const pair = exclusion([...conditions, ...beside]);
    if (pair === undefined || (!conditions.includes(pair[0]) && !conditions.includes(pair[1]))) return [];
    const [one, other] = conditions.includes(pair[0]) ? pair : [pair[1], pair[0]];
    const at = conditionField(rule, { part: clause.part, index: clause.index + i }, one);
    const message = `${fieldName(one)} and ${fieldName(other)} exclude each other: no connection meets both`;
    return [finding('contradictory-rule', objectOf(rule.policy), at, message)];
  });
}

/** Of several for one scope the oldest counts, then the first by name. */
function competing(policies: readonly PeerAuthentication[]): readonly Finding[] {
  return [...Map.groupBy(policies, scopeKey).values()].flatMap((rivals) => {
    const [first, ...others] = rivals.toSorted((a, b) => order(a) - order(b) || (a.key < b.key ? -1 : 1));
    return others.map(({ namespace, name }) =>
      finding(
        'competing-policies',
        { kind: 'PeerAuthentication', namespace, name },
        '',
        `${first?.name} is for the same pods and older, so it counts and this one does not`,
        'keep one of them',
      ),
    );
  });
}

const order = ({ createdAt }: PeerAuthentication): number => Date.parse(createdAt) || 0;
