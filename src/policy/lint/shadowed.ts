/**
 * Rules that change nothing: an ALLOW that a DENY covers, and what another rule of the same action covers. Compared are
 * only rules that match one connection made up from the rule in question: all others cannot cover it. So the cost
 * grows with the number of rules, and not with its square.
 */
import type { AuthorizationPolicy, PolicyScope } from '../../model/policy.ts';
import type { Scoped } from '../applicable.ts';
import type { Attributes } from '../attributes.ts';
import { RuleIndex } from '../rule-index.ts';
import { type CompiledRule, ruleMatches } from '../rules.ts';
import type { Check } from './context.ts';
import { type Finding, finding } from './finding.ts';
import { ruleCovers } from './implies.ts';
import { witnessOf } from './witness.ts';
import { objectOf, ruleField } from './written.ts';

/** Rules compared with one, at most. */
const maxCandidates = 32;

export const shadowed: Check = ({ rules, input }) => {
  const { rootNamespace } = input.view.config;
  const enforced = rules.filter(({ policy }) => policy.dryRun !== true);
  const refusing = new Layered(
    enforced.filter(({ policy }) => policy.action === 'deny' || policy.action === 'custom'),
    rootNamespace,
  );
  const allowing = new Layered(
    enforced.filter(({ policy }) => policy.action === 'allow'),
    rootNamespace,
  );
  return enforced.flatMap((rule): readonly Finding[] => {
    const { action } = rule.policy;
    if (action === 'audit') return [];
    const denied = action === 'allow' ? refusing.covering(rule)[0] : undefined;
    if (denied !== undefined) return [shadowedBy(rule, denied)];
    const peers = action === 'allow' ? allowing : refusing;
    const better = peers.covering(rule).find((other) => isKept(other, rule));
    return better === undefined ? [] : [redundantTo(rule, better)];
  });
};

function shadowedBy(rule: CompiledRule, by: CompiledRule): Finding {
  const message = `${nameOf(by)} (${by.policy.action.toUpperCase()}) covers all that this rule allows`;
  const hint = 'narrow the one or delete the other';
  return finding('shadowed-by-deny', objectOf(rule.policy), ruleField(rule), message, hint);
}

function redundantTo(rule: CompiledRule, by: CompiledRule): Finding {
  const message = `${nameOf(by)} covers this rule: without it nothing changes`;
  return finding('redundant-rule', objectOf(rule.policy), ruleField(rule), message);
}

const nameOf = ({ policy, number }: CompiledRule): string => `${policy.key} rule ${number}`;

/** Of two that cover each other the first stays. */
const isKept = (other: CompiledRule, rule: CompiledRule): boolean =>
  other.policy.action === rule.policy.action &&
  (!ruleCovers(rule, other) || !sameScope(rule, other) || isBefore(other, rule));

const isBefore = (a: CompiledRule, b: CompiledRule): boolean =>
  a.policy.key === b.policy.key ? a.number < b.number : a.policy.key < b.policy.key;

const sameScope = (a: CompiledRule, b: CompiledRule): boolean =>
  scopeCovers(a.policy, b.policy, '') && scopeCovers(b.policy, a.policy, '');

/** Rules by where they apply: to the whole mesh, or in one namespace. */
class Layered {
  readonly #rootNamespace: string;
  readonly #everywhere: RuleIndex;
  readonly #inNamespace: ReadonlyMap<string, RuleIndex>;

  constructor(rules: readonly CompiledRule[], rootNamespace: string) {
    this.#rootNamespace = rootNamespace;
    const byNamespace = Map.groupBy(rules, ({ policy }) => policy.namespace);
    this.#everywhere = new RuleIndex(byNamespace.get(rootNamespace) ?? []);
    byNamespace.delete(rootNamespace);
    this.#inNamespace = new Map([...byNamespace].map(([name, own]) => [name, new RuleIndex(own)]));
  }

  /** Rules that match everything that `rule` matches, at all pods that it is for; not itself. */
  covering(rule: CompiledRule): readonly CompiledRule[] {
    const witness = witnessOf(rule);
    return [this.#everywhere, this.#inNamespace.get(rule.policy.namespace)]
      .flatMap((index) => (index === undefined ? [] : matching(index, witness)))
      .filter(
        (other) =>
          other !== rule &&
          scopeCovers(other.policy, rule.policy, this.#rootNamespace) &&
          ruleCovers(other, rule),
      );
  }
}

/** Rules that match, up to so many, in no order. */
function matching(index: RuleIndex, attributes: Attributes): readonly CompiledRule[] {
  const found = new Set<CompiledRule>();
  index.visit(attributes, (rules) => {
    for (const rule of rules) {
      if (found.size >= maxCandidates) return;
      if (ruleMatches(rule, attributes)) found.add(rule);
    }
  });
  return [...found];
}

/** Whether what `outer` is for has everything that `inner` is for. */
function scopeCovers(outer: AuthorizationPolicy, inner: Scoped, rootNamespace: string): boolean {
  const isInReach = outer.namespace === inner.namespace || outer.namespace === rootNamespace;
  switch (outer.scope.type) {
    case 'mesh':
      return true;
    case 'namespace':
      return outer.namespace === inner.namespace && inner.scope.type !== 'mesh';
    case 'selector':
      return isInReach && inner.scope.type === 'selector' && labelsCover(outer.scope, inner.scope);
    case 'services': {
      const { services } = outer.scope;
      return inner.scope.type === 'services' && inner.scope.services.every((key) => services.includes(key));
    }
  }
}

type Selector = Extract<PolicyScope, { readonly type: 'selector' }>;

const labelsCover = (outer: Selector, inner: Selector): boolean =>
  Object.entries(outer.labels).every(([name, value]) => inner.labels[name] === value);
