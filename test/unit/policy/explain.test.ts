import { describe, expect, it } from '@jest/globals';
import { parseIp, parsePort } from '../../../src/base/ip.ts';
import { parseSpiffeId } from '../../../src/model/identity.ts';
import { type AuthorizationPolicy, policyKey, type PolicyRule } from '../../../src/model/policy.ts';
import type { AccessFacts } from '../../../src/policy/attributes.ts';
import { explain } from '../../../src/policy/explain.ts';
import { compile } from '../../../src/policy/compile.ts';

const facts: AccessFacts = {
  identity: parseSpiffeId('spiffe://cluster.local/ns/shop/sa/web'),
  sourceIp: parseIp('10.0.0.1'),
  destinationIp: parseIp('10.0.0.9'),
  port: parsePort(80),
};

const policy = (
  action: AuthorizationPolicy['action'],
  rules: readonly PolicyRule[],
): AuthorizationPolicy => ({
  key: policyKey('shop', action),
  namespace: 'shop',
  name: action,
  action,
  scope: { type: 'namespace' },
  rules,
});

describe('explaining a decision', () => {
  it('shows how every rule fares, also those behind the decision', () => {
    const deny = policy('deny', [{ from: [{ namespaces: ['shop'] }] }, { to: [{ ports: [parsePort(81)] }] }]);
    const allow = policy('allow', [
      { from: [{ principals: ['x'] }, { notNamespaces: ['shop'] }], when: [{ ports: [facts.port] }] },
    ]);
    expect(explain(compile([allow, deny]), facts)).toEqual({
      verdict: expect.objectContaining({ allowed: false, policy: 'shop/deny' }),
      mtls: { mode: 'permissive', policy: undefined },
      inboundDefault: undefined,
      policiesOmitted: 0,
      policies: [
        {
          policy: 'shop/deny',
          action: 'deny',
          scope: { type: 'namespace' },
          dryRun: false,
          matches: true,
          sentence: 'rule 1 matches: source namespace shop is in namespaces',
          rulesOmitted: 0,
          rules: [
            {
              rule: 1,
              matches: true,
              clauses: [
                {
                  at: 'from[0]',
                  holds: true,
                  conditions: [
                    {
                      field: 'namespaces',
                      values: ['shop'],
                      valuesOmitted: 0,
                      actual: 'shop',
                      holds: true,
                      sentence: 'source namespace shop is in namespaces',
                    },
                  ],
                },
              ],
            },
            {
              rule: 2,
              matches: false,
              clauses: [
                {
                  at: 'to[0]',
                  holds: false,
                  conditions: [
                    {
                      field: 'ports',
                      values: ['81'],
                      valuesOmitted: 0,
                      actual: '80',
                      holds: false,
                      sentence: 'port 80 is not in ports',
                    },
                  ],
                },
              ],
            },
          ],
        },
        expect.objectContaining({
          policy: 'shop/allow',
          action: 'allow',
          matches: false,
          sentence: 'rule 1: source principal cluster.local/ns/shop/sa/web is not in principals',
          rules: [
            expect.objectContaining({
              matches: false,
              clauses: [
                expect.objectContaining({ at: 'from[0]', holds: false }),
                expect.objectContaining({
                  at: 'from[1]',
                  holds: false,
                  conditions: [
                    expect.objectContaining({ field: 'notNamespaces', actual: 'shop', holds: false }),
                  ],
                }),
                expect.objectContaining({ at: 'when[0]', holds: true }),
              ],
            }),
          ],
        }),
      ],
    });
  });

  it('shows policies in dry run as such', () => {
    const dry: AuthorizationPolicy = { ...policy('deny', [{}]), dryRun: true };
    expect(explain(compile([dry]), facts)).toMatchObject({
      verdict: { allowed: true, dryRun: { allowed: false } },
      policies: [{ policy: 'shop/deny', dryRun: true, matches: true }],
    });
  });

  it('tells of so many, of what matches and of what a refusal names first, and counts the rest', () => {
    const many = Array.from({ length: 500 }, (_, i): AuthorizationPolicy => {
      const name = `p${String(i).padStart(3, '0')}`;
      const from = [{ principals: [`cluster.local/ns/shop/sa/${i === 450 ? 'web' : `other-${i}`}`] }];
      const to = [{ ports: [parsePort(i === 450 ? 81 : 80)] }];
      return { ...policy('allow', [{ from, to }]), key: policyKey('shop', name), name };
    });
    const matching = { ...policy('audit', [{}]), key: policyKey('shop', 'z'), name: 'z' };
    const { policies, policiesOmitted, verdict } = explain(compile([...many, matching]), facts);
    expect([policies.length, policiesOmitted]).toEqual([200, 301]);
    expect(verdict.reason).toContain('shop/p450 rule 1');
    expect(policies.map(({ policy: key }) => key)).toEqual(expect.arrayContaining(['shop/p450', 'shop/z']));
  });
});
