/** Why a verdict is what it is, in a sentence for people: the words of log, `connections` and `explain`. */
import type { Attributes } from './attributes.ts';
import { type Condition, type PolicyField, type PositiveField, textOf } from './conditions.ts';
import type { Layer } from './policy-set.ts';
import { alternativeHolds, type CompiledRule } from './rules.ts';

const nouns: Readonly<Record<PositiveField, string>> = {
  namespaces: 'source namespace',
  principals: 'source principal',
  serviceAccounts: 'source service account',
  trustDomains: 'source trust domain',
  ipBlocks: 'source address',
  destinationIps: 'destination address',
  ports: 'port',
};

/** As the policy writes it: `notNamespaces`. */
export const fieldName = ({ field, negated }: Pick<Condition, 'field' | 'negated'>): PolicyField =>
  negated ? (`not${field.charAt(0).toUpperCase()}${field.slice(1)}` as PolicyField) : field;

/** The connection's value that the field looks at; undefined if it has none, for lack of an identity. */
export function actualValue(field: PositiveField, attributes: Attributes): string | undefined {
  switch (field) {
    case 'namespaces':
    case 'principals':
    case 'serviceAccounts':
    case 'trustDomains':
      return textOf(field, attributes);
    case 'ipBlocks':
      return attributes.facts.sourceIp;
    case 'destinationIps':
      return attributes.facts.destinationIp;
    case 'ports':
      return String(attributes.facts.port);
  }
}

/** `source namespace bots is not in namespaces`. */
export function conditionSentence(condition: Condition, attributes: Attributes): string {
  const { field, negated } = condition;
  const name = fieldName(condition);
  const actual = actualValue(field, attributes);
  if (actual === undefined) return `the source has no identity (plaintext), which ${name} looks at`;
  const isListed = condition.holds(attributes) !== negated;
  return `${nouns[field]} ${actual} is ${isListed ? '' : 'not '}in ${name}`;
}

/** Of a rule that matches: the conditions that made it match. */
export function matchReason({ policy, number, clauses }: CompiledRule, attributes: Attributes): string {
  const conditions = clauses.flatMap(({ alternatives }) =>
    alternatives
      .filter((each) => alternativeHolds(each, attributes))
      .slice(0, 1)
      .flat(),
  );
  const why = conditions.map((condition) => conditionSentence(condition, attributes)).join(' and ');
  const what = `rule ${number} matches${why === '' ? ' everything' : `: ${why}`}`;
  return policy.action === 'custom'
    ? `${what}; action CUSTOM needs a waypoint to ask its provider, so what it matches is refused`
    : what;
}

/** More are not looked at for a reason: it is made for every refused connection. */
const consideredMisses = 8;

/**
 * Why no ALLOW matched, told by the rule that failed by the fewest conditions: the one probably meant. `missed` had
 * something in common with the connection; if none had, the first rules are looked at.
 */
export function nearMissReason(
  layers: readonly Layer[],
  missed: readonly CompiledRule[],
  attributes: Attributes,
): string {
  const first = layers.flatMap(({ index }) => index.rules.slice(0, consideredMisses));
  const candidates = missed.length > 0 ? missed : first.slice(0, consideredMisses);
  const nearest = nearestMiss(candidates, attributes);
  if (nearest === undefined) return `${names(layers)} has no rule, so it allows nothing`;
  return `${nearest.rule.policy.key} ${nearest.why}`;
}

/** Of rules none of which matches the one that failed by the fewest conditions, and these: `rule 1: port 81 is not in ports`. */
export function nearestMiss(
  rules: readonly CompiledRule[],
  attributes: Attributes,
): { readonly rule: CompiledRule; readonly why: string } | undefined {
  const misses = rules.map((rule) => ({ rule, failed: failedConditions(rule, attributes) }));
  const nearest = misses.toSorted((a, b) => a.failed.length - b.failed.length)[0];
  if (nearest === undefined) return undefined;
  const { rule, failed } = nearest;
  const why = failed.map((condition) => conditionSentence(condition, attributes)).join(' and ');
  return { rule, why: `rule ${rule.number}: ${why}` };
}

/** Of each clause that fails, the alternative that came nearest. */
const failedConditions = ({ clauses }: CompiledRule, attributes: Attributes): readonly Condition[] =>
  clauses.flatMap(({ alternatives }) => {
    const failed = alternatives
      .slice(0, consideredMisses)
      .map((conditions) => conditions.filter((condition) => !condition.holds(attributes)));
    return failed
      .toSorted((a, b) => a.length - b.length)
      .slice(0, 1)
      .flat();
  });

function names(layers: readonly Layer[]): string {
  const keys = layers.flatMap(({ policies }) => policies.slice(0, 3).map(({ key }) => key));
  const count = layers.reduce((sum, { policies }) => sum + policies.length, 0);
  return count > keys.length ? `${keys.join(', ')} and ${count - keys.length} more` : keys.join(', ');
}
