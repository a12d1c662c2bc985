import { describe, expect, it } from '@jest/globals';
import { parseIp, parsePort, parsePrefix } from '../../../src/base/ip.ts';
import type { Verdict } from '../../../src/model/connection.ts';
import { parseSpiffeId } from '../../../src/model/identity.ts';
import {
  type AuthorizationPolicy,
  type PeerAuthentication,
  peerAuthenticationKey,
  type PolicyAction,
  policyKey,
  type PolicyMatch,
  type PolicyRule,
} from '../../../src/model/policy.ts';
import type { AccessFacts } from '../../../src/policy/attributes.ts';
import { evaluate } from '../../../src/policy/evaluate.ts';
import { compile } from '../../../src/policy/compile.ts';

const web = parseSpiffeId('spiffe://cluster.local/ns/shop/sa/web');
const port80 = parsePort(80);

const facts = (given: Partial<AccessFacts> = {}): AccessFacts => ({
  identity: web,
  sourceIp: parseIp('10.0.0.1'),
  destinationIp: parseIp('10.0.0.9'),
  port: port80,
  ...given,
});

const plaintext = facts({ identity: undefined });

function policy(
  action: PolicyAction,
  rules: readonly PolicyMatch[],
  name: string = action,
): AuthorizationPolicy {
  return {
    key: policyKey('shop', name),
    namespace: 'shop',
    name,
    action,
    scope: { type: 'namespace' },
    rules: rules.map((match) => (Object.keys(match).length === 0 ? {} : { when: [match] })),
  };
}

const judge = (policies: readonly AuthorizationPolicy[], given: AccessFacts = facts()): Verdict =>
  evaluate(compile(policies), given);

/** Whether a rule matches: a DENY policy of that rule alone refuses exactly what it matches. */
const matches = (rule: PolicyMatch, given: AccessFacts = facts()): boolean =>
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
  it.each<[keyof PolicyMatch]>([['namespaces'], ['principals'], ['serviceAccounts']])(
    'satisfies no %s',
    (field) => {
      expect(matches({ [field]: ['*', 'shop', 'shop/web'] }, plaintext)).toBe(false);
    },
  );

  it.each<[keyof PolicyMatch]>([['notNamespaces'], ['notPrincipals'], ['notServiceAccounts']])(
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

describe('trust domains and the workload’s own address', () => {
  it('match as strings and as blocks', () => {
    expect(matches({ trustDomains: ['cluster.local'] })).toBe(true);
    expect(matches({ trustDomains: ['*.org'] })).toBe(false);
    expect(matches({ notTrustDomains: ['cluster.*'] })).toBe(false);
    expect(matches({ trustDomains: ['*'] }, plaintext)).toBe(false);
    expect(matches({ destinationIps: [parsePrefix('10.0.0.9')] })).toBe(true);
    expect(matches({ notDestinationIps: [parsePrefix('10.0.0.9')] })).toBe(false);
  });
});

describe('address blocks', () => {
  const v6 = facts({ sourceIp: parseIp('fd00::1:2') });
  it.each([
    ['0.0.0.0/0', facts(), true],
    ['::/0', facts(), false],
    ['::/0', v6, true],
    ['0.0.0.0/0', v6, false],
    ['10.0.0.0/31', facts(), true],
    ['10.0.0.2/31', facts(), false],
    ['fd00::/16', v6, true],
    ['fd00::1:0/112', v6, true],
    ['fd00::1:0/127', v6, false],
    ['::ffff:10.0.0.1', facts(), true],
  ])('of %s', (block, given, expected) => {
    expect(matches({ ipBlocks: [parsePrefix(block)] }, given)).toBe(expected);
    const many = Array.from({ length: 20 }, (_, i) => parsePrefix(`192.0.2.${i}`));
    expect(matches({ ipBlocks: [...many, parsePrefix(block)] }, given)).toBe(expected);
    expect(matches({ notIpBlocks: [...many, parsePrefix(block)] }, given)).toBe(!expected);
  });
});

describe('a long list of values', () => {
  const others = (make: (i: number) => string): string[] => Array.from({ length: 20 }, (_, i) => make(i));

  it('decides as a short one does', () => {
    expect(matches({ namespaces: others((i) => `n${i}`) })).toBe(false);
    expect(matches({ namespaces: [...others((i) => `n${i}*`), 'sh*'] })).toBe(true);
    expect(matches({ namespaces: [...others((i) => `*n${i}`), '*op'] })).toBe(true);
    expect(matches({ serviceAccounts: [...others((i) => `shop/s${i}`), 'shop/web'] })).toBe(true);
    expect(matches({ serviceAccounts: others((i) => `shop/s${i}`) })).toBe(false);
    const ports = Array.from({ length: 20 }, (_, i) => parsePort(1000 + i));
    expect(matches({ ports: [...ports, port80] })).toBe(true);
    expect(matches({ notPorts: ports })).toBe(true);
  });
});

describe('a rule with alternatives', () => {
  const rule: PolicyRule = {
    from: [{ namespaces: ['x'] }, { serviceAccounts: ['shop/web'], notIpBlocks: [parsePrefix('10.0.0.7')] }],
    to: [{ ports: [port80] }, { ports: [parsePort(81)] }],
    when: [{ principals: ['*/sa/web'] }, { notNamespaces: ['bots'] }],
  };
  const deny: AuthorizationPolicy = { ...policy('deny', []), rules: [rule] };

  it('matches by one of from, one of to, and all of when', () => {
    expect(judge([deny]).reason).toBe(
      'rule 1 matches: source service account shop/web is in serviceAccounts and source address 10.0.0.1 is ' +
        'not in notIpBlocks and port 80 is in ports and source principal cluster.local/ns/shop/sa/web is in ' +
        'principals and source namespace shop is not in notNamespaces',
    );
    expect(judge([deny], facts({ port: parsePort(82) })).allowed).toBe(true);
    expect(judge([deny], facts({ sourceIp: parseIp('10.0.0.7') })).allowed).toBe(true);
    expect(judge([deny], plaintext).allowed).toBe(true);
  });

  it('matches everything in a part that says nothing', () => {
    for (const empty of [{}, { from: [], to: [], when: [] }]) {
      expect(judge([{ ...deny, rules: [empty] }]).allowed).toBe(false);
    }
  });
});

describe('an AUDIT policy', () => {
  it('is named where it matches, and has no say', () => {
    const audit = policy('audit', [{ namespaces: ['shop'] }]);
    expect(judge([audit])).toEqual({
      allowed: true,
      policy: undefined,
      reason: 'no policy applies',
      audit: 'shop/audit',
    });
    expect(judge([audit, policy('deny', [{}])])).toMatchObject({ allowed: false, audit: 'shop/audit' });
    expect(judge([audit], plaintext)).not.toHaveProperty('audit');
  });
});

describe('a CUSTOM policy', () => {
  it('refuses what it matches, before any other, and says why', () => {
    const custom = policy('custom', [{ namespaces: ['shop'] }]);
    expect(judge([custom, policy('allow', [{}]), policy('deny', [{}], 'a-deny')])).toEqual({
      allowed: false,
      policy: 'shop/custom',
      reason:
        'rule 1 matches: source namespace shop is in namespaces; action CUSTOM needs a waypoint to ask its ' +
        'provider, so what it matches is refused',
    });
    expect(judge([custom], plaintext).allowed).toBe(true);
  });
});

describe('a policy in dry run', () => {
  const dry = (each: AuthorizationPolicy): AuthorizationPolicy => ({ ...each, dryRun: true });

  it('tells what it would refuse, and refuses nothing', () => {
    expect(judge([dry(policy('deny', [{ namespaces: ['shop'] }]))])).toMatchObject({
      allowed: true,
      dryRun: { allowed: false, policy: 'shop/deny' },
    });
    expect(judge([dry(policy('deny', [{ namespaces: ['x'] }]))])).not.toHaveProperty('dryRun');
  });

  it('is judged together with those in force', () => {
    const allowWeb = policy('allow', [{ namespaces: ['shop'] }], 'allow-shop');
    expect(judge([allowWeb, dry(policy('allow', [{ namespaces: ['x'] }]))])).not.toHaveProperty('dryRun');
    expect(judge([policy('allow', []), dry(allowWeb)])).toMatchObject({
      allowed: false,
      dryRun: { allowed: true, policy: 'shop/allow-shop' },
    });
  });
});

describe('mutual TLS', () => {
  const strict: PeerAuthentication = {
    key: peerAuthenticationKey('shop', 'default'),
    namespace: 'shop',
    name: 'default',
    createdAt: '',
    scope: { type: 'namespace' },
    mode: 'strict',
    ports: new Map(),
  };
  const set = compile([policy('allow', [{}])], { mesh: undefined, namespace: strict, workload: undefined });

  it('where it is required, refuses plaintext whatever policies allow, and names who requires it', () => {
    expect(evaluate(set, plaintext)).toEqual({
      allowed: false,
      policy: 'peerauthentication/shop/default',
      reason: 'port 80 takes mutual TLS only (STRICT) and the source has no identity (plaintext)',
    });
    expect(evaluate(set, facts())).toMatchObject({ allowed: true, policy: 'shop/allow' });
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

  it('looks at the alternative that came nearest', () => {
    const from = [{ namespaces: ['x'], ports: [parsePort(1)] }, { namespaces: ['y'] }];
    const allow: AuthorizationPolicy = { ...policy('allow', []), rules: [{ from }] };
    expect(judge([allow]).reason).toBe('shop/allow rule 1: source namespace shop is not in namespaces');
  });

  it('names a few policies where many allow nothing', () => {
    const many = ['a', 'b', 'c', 'd', 'e'].map((name) => policy('allow', [], name));
    expect(judge(many).reason).toBe('shop/a, shop/b, shop/c and 2 more has no rule, so it allows nothing');
  });

  it('says that ALLOW policies without rules allow nothing', () => {
    expect(judge([policy('allow', [], 'nothing')]).reason).toBe(
      'shop/nothing has no rule, so it allows nothing',
    );
  });
});
