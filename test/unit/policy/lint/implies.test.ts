import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { parseIp, parsePort, parsePrefix } from '../../../../src/base/ip.ts';
import { type SpiffeId } from '../../../../src/model/identity.ts';
import type { AuthorizationPolicy, PolicyMatch, PolicyRule } from '../../../../src/model/policy.ts';
import { type Attributes, attributesOf } from '../../../../src/policy/attributes.ts';
import { exclusion, ruleCovers } from '../../../../src/policy/lint/implies.ts';
import { patternCovers, patternsOverlap } from '../../../../src/policy/lint/values.ts';
import { witnessOf } from '../../../../src/policy/lint/witness.ts';
import { matchesPattern } from '../../../../src/policy/pattern-map.ts';
import {
  alternativeHolds,
  type CompiledRule,
  compileRules,
  ruleMatches,
} from '../../../../src/policy/rules.ts';

const pattern = fc.constantFrom('*', 'a', 'ab', 'aba', 'a*', 'ab*', '*a', '*ba', 'b*', 'b');
const word = fc.constantFrom('', 'a', 'b', 'ab', 'ba', 'aba', 'abba', 'bab');

describe('patterns', () => {
  it('cover what they say they do', () => {
    fc.assert(
      fc.property(pattern, pattern, word, (outer, inner, value) => {
        fc.pre(patternCovers(outer, inner) && matchesPattern(inner, value));
        expect(matchesPattern(outer, value)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  it('that do not overlap have nothing in common', () => {
    fc.assert(
      fc.property(pattern, pattern, word, (a, b, value) => {
        if (!patternsOverlap(a, b)) expect(matchesPattern(a, value) && matchesPattern(b, value)).toBe(false);
      }),
      { numRuns: 2000 },
    );
  });
});

const list = <T>(item: fc.Arbitrary<T>) =>
  fc.option(fc.array(item, { minLength: 1, maxLength: 2 }), { nil: undefined });
const namespaces = list(fc.constantFrom('x', 'y', 'x*', '*'));
const principals = list(fc.constantFrom('td/ns/x/sa/p', 'td/ns/y/sa/p', 'td/ns/x*', '*/sa/p', '*'));
const accounts = list(fc.constantFrom('x/p', 'y/p', 'x/q'));
const blocks = list(fc.constantFrom('10.0.0.0/8', '10.1.0.0/16', '10.1.2.3/32').map(parsePrefix));
const ports = list(fc.constantFrom(1, 2, 3).map(parsePort));

const defined = (match: Record<string, unknown>): PolicyMatch =>
  Object.fromEntries(Object.entries(match).filter(([, values]) => values !== undefined));

const source = fc
  .record({
    namespaces,
    principals,
    serviceAccounts: accounts,
    ipBlocks: blocks,
    notNamespaces: namespaces,
    notPrincipals: principals,
    notIpBlocks: blocks,
  })
  .map(defined);
const operation = fc.record({ ports, notPorts: ports }).map(defined);
const rule: fc.Arbitrary<PolicyRule> = fc.record(
  {
    from: fc.array(source, { minLength: 1, maxLength: 2 }),
    to: fc.array(operation, { minLength: 1, maxLength: 2 }),
    when: fc.array(source, { minLength: 1, maxLength: 1 }),
  },
  { requiredKeys: [] },
);

const compiled = (given: PolicyRule): CompiledRule => {
  const [one] = compileRules({ rules: [given] } as unknown as AuthorizationPolicy);
  if (one === undefined) throw new Error('no rule');
  return one;
};

const attributes: fc.Arbitrary<Attributes> = fc
  .record({
    identity: fc.constantFrom(
      undefined,
      ...['x/sa/p', 'y/sa/p', 'x/sa/q', 'z/sa/p'].map((of) => `spiffe://td/ns/${of}` as SpiffeId),
    ),
    sourceIp: fc.constantFrom('10.1.2.3', '10.1.0.1', '10.9.9.9', '192.0.2.1').map(parseIp),
    destinationIp: fc.constant(parseIp('10.5.5.5')),
    port: fc.constantFrom(1, 2, 3, 4).map(parsePort),
  })
  .map(attributesOf);

describe('a rule said to cover another', () => {
  it('matches every connection that the other one matches', () => {
    let covered = 0;
    fc.assert(
      fc.property(rule, rule, fc.array(attributes, { minLength: 20, maxLength: 20 }), (a, b, connections) => {
        const [outer, inner] = [compiled(a), compiled(b)];
        if (!ruleCovers(outer, inner)) return;
        covered++;
        for (const each of connections) {
          if (ruleMatches(inner, each)) expect(ruleMatches(outer, each)).toBe(true);
        }
      }),
      { numRuns: 5000 },
    );
    expect(covered).toBeGreaterThan(20);
  });

  it('is one that covers itself', () => {
    fc.assert(fc.property(rule, (given) => expect(ruleCovers(compiled(given), compiled(given))).toBe(true)));
  });
});

describe('conditions said to exclude each other', () => {
  it('are never met at once', () => {
    let excluded = 0;
    fc.assert(
      fc.property(source, fc.array(attributes, { minLength: 20, maxLength: 20 }), (match, connections) => {
        const conditions = compiled({ from: [match] }).clauses[0]?.alternatives[0] ?? [];
        if (exclusion(conditions) === undefined) return;
        excluded++;
        for (const each of connections) expect(alternativeHolds(conditions, each)).toBe(false);
      }),
      { numRuns: 3000 },
    );
    expect(excluded).toBeGreaterThan(20);
  });
});

describe('the connection made up from a rule', () => {
  it('is matched by it where the rule has exact values and nothing negative', () => {
    const given = compiled({
      from: [{ principals: ['td/ns/x/sa/p'], ipBlocks: [parsePrefix('10.1.0.0/16')] }],
      to: [{ ports: [parsePort(2)] }],
      when: [{ namespaces: ['x'] }],
    });
    expect(ruleMatches(given, witnessOf(given))).toBe(true);
  });
});
