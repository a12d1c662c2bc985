import { describe, expect, it } from '@jest/globals';
import { parseIp, parsePort, parsePrefix } from '../../../src/base/ip.ts';
import type { Verdict } from '../../../src/model/connection.ts';
import { parseSpiffeId } from '../../../src/model/identity.ts';
import { type AuthorizationPolicy, policyKey, type PolicyRule } from '../../../src/model/mesh.ts';
import type { AccessFacts } from '../../../src/policy/conditions.ts';
import { compile, evaluate, explain } from '../../../src/policy/evaluate.ts';

const web = parseSpiffeId('spiffe://cluster.local/ns/shop/sa/web');
const port80 = parsePort(80);

const facts = (given: Partial<AccessFacts> = {}): AccessFacts => ({
  identity: web,
  sourceIp: parseIp('10.0.0.1'),
  port: port80,
  ...given,
});

const plaintext = facts({ identity: undefined });

function policy(
  action: 'allow' | 'deny',
  rules: readonly PolicyRule[],
  name: string = action,
): AuthorizationPolicy {
  return {
    key: policyKey('shop', name),
    namespace: 'shop',
    name,
    action,
    scope: { type: 'namespace' },
    rules,
  };
}

const judge = (policies: readonly AuthorizationPolicy[], given: AccessFacts = facts()): Verdict =>
  evaluate(compile(policies), given);

/** Whether a rule matches: a DENY policy of that rule alone refuses exactly what it matches. */
const matches = (rule: PolicyRule, given: AccessFacts = facts()): boolean =>
  !judge([policy('deny', [rule])], given).allowed;

describe('the order of decisions', () => {
  const allowWeb = policy('allow', [{ principals: ['cluster.local/ns/shop/sa/web'] }], 'allow-web');
  const allowOthers = policy('allow', [{ namespaces: ['other'] }], 'allow-others');
  const denyShop = policy('deny', [{ namespaces: ['shop'] }], 'deny-shop');
  const denyOthers = policy('deny', [{ namespaces: ['other'] }], 'deny-others');

  it.each<[string, readonly AuthorizationPolicy[], boolean, string | undefined]>([
    ['allows by default', [], true, undefined],
    ['allows what no DENY matches when there is no ALLOW', [denyOthers], true, undefined],
    ['denies what a DENY matches', [denyShop], false, 'shop/deny-shop'],
    [
      'denies by DENY even what an ALLOW matches, in either order',
      [allowWeb, denyShop],
      false,
      'shop/deny-shop',
    ],
    ['allows what an ALLOW matches', [allowOthers, allowWeb], true, 'shop/allow-web'],
    ['denies what no ALLOW matches when there is one', [allowOthers], false, undefined],
    ['denies everything by an ALLOW without rules', [policy('allow', [])], false, undefined],
    ['denies nothing by a DENY without rules', [policy('deny', [])], true, undefined],
    ['denies everything by a DENY rule without fields', [policy('deny', [{}])], false, 'shop/deny'],
    ['allows everything by an ALLOW rule without fields', [policy('allow', [{}])], true, 'shop/allow'],
  ])('%s', (_, policies, allowed, key) => {
    expect(judge(policies)).toMatchObject({ allowed, policy: key });
  });
});

describe('a rule', () => {
  it('needs all its fields to hold', () => {
    expect(matches({ namespaces: ['shop'], ports: [port80] })).toBe(true);
    expect(matches({ namespaces: ['shop'], ports: [parsePort(81)] })).toBe(false);
    expect(matches({ namespaces: ['x'], ports: [port80] })).toBe(false);
  });

  it('takes the values of a field as alternatives', () => {
    expect(matches({ namespaces: ['x', 'shop'] })).toBe(true);
    expect(matches({ ports: [parsePort(81), port80] })).toBe(true);
  });

  it('combines a field with its exceptions', () => {
    const rule = { namespaces: ['shop'], notPrincipals: ['*/sa/web'] };
    expect(matches(rule)).toBe(false);
    expect(matches(rule, facts({ identity: parseSpiffeId('spiffe://cluster.local/ns/shop/sa/api') }))).toBe(
      true,
    );
  });

  it('ignores a field without values', () => {
    expect(matches({ namespaces: [], ports: [port80] })).toBe(true);
    expect(matches({ namespaces: [], notPrincipals: [] })).toBe(true);
  });
});

describe('strings', () => {
  it.each([
    ['shop', true],
    ['sho', false],
    ['shopx', false],
    ['Shop', false],
    ['sh*', true],
    ['shop*', true],
    ['*op', true],
    ['*shop', true],
    ['*', true],
    ['op*', false],
    ['*sho', false],
    ['s*p', false],
    ['', false],
  ])('match the namespace "shop" by %p: %p', (pattern, expected) => {
    expect(matches({ namespaces: [pattern] })).toBe(expected);
    expect(matches({ notNamespaces: [pattern] })).toBe(!expected);
  });

  it.each([
    ['cluster.local/ns/shop/sa/web', true],
    ['spiffe://cluster.local/ns/shop/sa/web', true],
    ['spiffe://cluster.local/ns/shop/*', true],
    ['cluster.local/*', true],
    ['*/sa/web', true],
    ['*', true],
    ['spiffe://*', true],
    ['cluster.local/ns/shop/sa/we', false],
    ['other.domain/ns/shop/sa/web', false],
    ['web', false],
  ])('match a principal by %p, with and without the scheme: %p', (pattern, expected) => {
    expect(matches({ principals: [pattern] })).toBe(expected);
    expect(matches({ notPrincipals: [pattern] })).toBe(!expected);
  });
});

describe('a source without identity', () => {
  it.each<[keyof PolicyRule]>([['namespaces'], ['principals'], ['serviceAccounts']])(
    'satisfies no %s',
    (field) => {
      expect(matches({ [field]: ['*', 'shop', 'shop/web'] }, plaintext)).toBe(false);
    },
  );

  it.each<[keyof PolicyRule]>([['notNamespaces'], ['notPrincipals'], ['notServiceAccounts']])(
    'satisfies every %s, so that DENY of nobody-in-particular makes mutual TLS mandatory',
    (field) => {
      expect(matches({ [field]: ['*', 'shop/web'] }, plaintext)).toBe(true);
      expect(matches({ [field]: field === 'notServiceAccounts' ? ['shop/web'] : ['*'] })).toBe(false);
    },
  );
});

describe('service accounts', () => {
  it('match in any trust domain, exactly', () => {
    expect(matches({ serviceAccounts: ['shop/web'] })).toBe(true);
    expect(matches({ serviceAccounts: ['shop/api', 'other/web'] })).toBe(false);
    expect(matches({ serviceAccounts: ['shop/*'] })).toBe(false);
    expect(matches({ notServiceAccounts: ['shop/web'] })).toBe(false);
  });
});

describe('addresses and ports', () => {
  it('match by prefix and number', () => {
    expect(matches({ ipBlocks: [parsePrefix('10.0.0.0/8')] })).toBe(true);
    expect(matches({ ipBlocks: [parsePrefix('10.0.0.2'), parsePrefix('fd00::/8')] })).toBe(false);
    expect(matches({ notIpBlocks: [parsePrefix('10.0.0.0/8')] })).toBe(false);
    expect(matches({ notPorts: [port80] })).toBe(false);
    expect(matches({ notPorts: [parsePort(81)] })).toBe(true);
  });
});

describe('the reason of a verdict', () => {
  it('names the rule and the fields that matched', () => {
    const deny = policy('deny', [{ namespaces: ['x'] }, { namespaces: ['sh*'], ports: [port80] }]);
    expect(judge([deny]).reason).toBe(
      'rule 2 matches: source namespace shop is in namespaces and port 80 is in ports',
    );
  });

  it('says that an exception did not apply', () => {
    expect(judge([policy('deny', [{ notPorts: [parsePort(443)] }])]).reason).toBe(
      'rule 1 matches: port 80 is not in notPorts',
    );
  });

  it('says when a rule has no conditions, and when no policy applies', () => {
    expect(judge([policy('deny', [{}])]).reason).toBe('rule 1 matches everything');
    expect(judge([]).reason).toBe('no policy applies');
    expect(judge([policy('deny', [])]).reason).toBe('no DENY policy matches and there is no ALLOW policy');
  });

  it('tells the ALLOW rule that came nearest, the one a person probably meant', () => {
    const far = policy('allow', [{ namespaces: ['x'], ports: [parsePort(1)] }], 'far');
    const near = policy(
      'allow',
      [{ namespaces: ['y'], ports: [parsePort(2)] }, { ports: [parsePort(443)] }],
      'near',
    );
    expect(judge([far, near]).reason).toBe('shop/near rule 2: port 80 is not in ports');
  });

  it('names plaintext as what stands in the way of an identity', () => {
    expect(judge([policy('allow', [{ principals: ['*'] }])], plaintext).reason).toBe(
      'shop/allow rule 1: the source has no identity (plaintext), which principals looks at',
    );
  });

  it('says that ALLOW policies without rules allow nothing', () => {
    expect(judge([policy('allow', [], 'nothing')]).reason).toBe(
      'shop/nothing has no rule, so it allows nothing',
    );
  });
});

describe('explaining a decision', () => {
  it('shows how every rule fares, also those behind the decision', () => {
    const deny = policy('deny', [{ namespaces: ['shop'] }, { ports: [parsePort(81)] }]);
    const allow = policy('allow', [{ principals: ['x'], ports: [port80] }]);
    expect(explain(compile([allow, deny]), facts())).toEqual({
      verdict: expect.objectContaining({ allowed: false, policy: 'shop/deny' }),
      findings: [
        {
          policy: 'shop/deny',
          action: 'deny',
          rule: 1,
          matches: true,
          conditions: [{ field: 'namespaces', values: ['shop'], actual: 'shop', holds: true }],
        },
        {
          policy: 'shop/deny',
          action: 'deny',
          rule: 2,
          matches: false,
          conditions: [{ field: 'ports', values: ['81'], actual: '80', holds: false }],
        },
        {
          policy: 'shop/allow',
          action: 'allow',
          rule: 1,
          matches: false,
          conditions: [
            { field: 'principals', values: ['x'], actual: 'cluster.local/ns/shop/sa/web', holds: false },
            { field: 'ports', values: ['80'], actual: '80', holds: true },
          ],
        },
      ],
    });
  });
});
