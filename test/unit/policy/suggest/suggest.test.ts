import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { parseIp, parsePort } from '../../../../src/base/ip.ts';
import { spiffeId } from '../../../../src/model/identity.ts';
import type { Workload } from '../../../../src/model/mesh.ts';
import { createAuthorizer } from '../../../../src/policy/authorize.ts';
import { ownerKey, selectionsIn } from '../../../../src/policy/suggest/selectors.ts';
import { policyOf, type SeenPair, suggest } from '../../../../src/policy/suggest/suggest.ts';
import { meshConfig, meshOf, pod } from '../../../support/mesh-builder.ts';

const owned = (
  name: string,
  owner: string,
  ip: string,
  labels: Readonly<Record<string, string>>,
): Workload => ({
  ...pod(`shop/${name}`, { ips: [ip], labels }),
  owner: { kind: 'deployment', name: owner },
});

const web = owned('web-1', 'web', '10.0.0.1', { app: 'web', 'pod-template-hash': 'x' });
const web2 = owned('web-2', 'web', '10.0.0.2', { app: 'web', 'pod-template-hash': 'y' });
const canary = owned('canary-1', 'canary', '10.0.0.3', { app: 'web', 'app.kubernetes.io/name': 'canary' });
const db = owned('db-1', 'db', '10.0.0.4', { app: 'db' });
const bare = owned('bare-1', 'bare', '10.0.0.5', { 'pod-template-hash': 'z' });

const selections = selectionsIn(meshOf({ workloads: [web, web2, canary, db, bare] }).view, 'shop');

describe('the labels of an owner’s pods', () => {
  it('are the usual ones, those that select no others first', () => {
    expect(selections.get('deployment/db')).toEqual({ labels: { app: 'db' }, others: [] });
    expect(selections.get('deployment/canary')).toEqual({
      labels: { 'app.kubernetes.io/name': 'canary' },
      others: [],
    });
  });

  it('are those that others have too, if there is no other way, and it is said', () => {
    expect(selections.get('deployment/web')).toEqual({
      labels: { app: 'web' },
      others: ['deployment/canary'],
    });
  });

  it('are none if only passing ones are there', () => {
    expect(selections.get('deployment/bare')).toEqual({ labels: undefined, others: [] });
  });
});

const identity = (serviceAccount: string) =>
  spiffeId({ trustDomain: meshConfig.trustDomain, namespace: 'shop', serviceAccount });

const seen = (extra: Partial<SeenPair> = {}): SeenPair => ({
  allowed: true,
  identity: identity('cart'),
  sourceIp: parseIp('10.0.0.9'),
  sourceName: 'shop/cart',
  namespace: 'shop',
  owner: 'deployment/db',
  selection: selections.get('deployment/db'),
  port: parsePort(5432),
  count: 2,
  firstSeen: 1000,
  lastSeen: 2000,
  ...extra,
});

const whose = (pair: SeenPair): string => pair.identity ?? pair.sourceIp;

describe('what is suggested', () => {
  it('is a rule for all sources that used the same ports', () => {
    const { policies } = suggest([
      seen(),
      seen({ identity: identity('web') }),
      seen({ identity: identity('admin') }),
      seen({ identity: identity('admin'), port: parsePort(9187), firstSeen: 500, lastSeen: 3000 }),
    ]);
    expect(policies).toMatchObject([
      {
        namespace: 'shop',
        name: 'db-seen',
        labels: { app: 'db' },
        count: 8,
        firstSeen: 500,
        lastSeen: 3000,
        rules: [
          { principals: ['cluster.local/ns/shop/sa/admin'], ports: [5432, 9187], count: 4 },
          { principals: ['cluster.local/ns/shop/sa/cart', 'cluster.local/ns/shop/sa/web'], ports: [5432] },
        ],
      },
    ]);
  });

  it('names plaintext by address, and sets apart what was denied', () => {
    const { policies } = suggest([
      seen({ identity: undefined }),
      seen({ allowed: false, identity: identity('stranger') }),
    ]);
    expect(policies).toMatchObject([
      {
        rules: [{ principals: [], ipBlocks: [{ base: '10.0.0.9', length: 32 }], names: ['shop/cart'] }],
        denied: [{ principals: ['cluster.local/ns/shop/sa/stranger'] }],
      },
    ]);
  });

  it('proposes what was denied when asked to, in rules that say so', () => {
    const pairs = [seen({}), seen({ allowed: false, identity: identity('stranger') })];
    expect(suggest(pairs, { allowDenied: true }).policies).toMatchObject([
      {
        rules: [{}, { principals: ['cluster.local/ns/shop/sa/stranger'], denied: true }],
        denied: [],
      },
    ]);
  });

  it('is nothing for pods that cannot be selected, which are named', () => {
    const owner = 'deployment/bare';
    expect(
      suggest([
        seen({ owner, selection: selections.get(owner) }),
        seen({ owner: 'job/gone', selection: undefined }),
      ]),
    ).toEqual({
      policies: [],
      unselectable: ['shop deployment/bare', 'shop job/gone'],
    });
  });

  const pods = [web, canary, db];
  const anyPair = fc
    .record({
      to: fc.constantFrom(...pods),
      who: fc.constantFrom('a', 'b', 'c', undefined),
      sourceIp: fc.constantFrom('10.1.0.1', '10.1.0.2').map(parseIp),
      port: fc.constantFrom(1, 2, 3).map(parsePort),
      allowed: fc.boolean(),
    })
    .map(({ to, who, ...rest }) =>
      seen({
        ...rest,
        identity: who === undefined ? undefined : identity(who),
        owner: ownerKey(to.owner),
        selection: selections.get(ownerKey(to.owner)),
      }),
    );

  it('allows everything that was seen allowed, and nothing else at pods of its own labels', () => {
    fc.assert(
      fc.property(fc.array(anyPair, { minLength: 1, maxLength: 12 }), anyPair, (pairs, probe) => {
        const { policies } = suggest(pairs);
        const { view } = meshOf({ workloads: pods, policies: policies.map(policyOf) });
        const authorizer = createAuthorizer();
        const isLetIn = ({ identity: who, sourceIp, owner, port }: SeenPair): boolean => {
          const destination = pods.find((each) => ownerKey(each.owner) === owner) ?? db;
          const source = { ip: sourceIp, port: parsePort(40000) };
          const target = { ip: destination.addresses[0] ?? sourceIp, port };
          return authorizer(view, { identity: who, source, destination, target }).allowed;
        };
        for (const pair of pairs) if (pair.allowed) expect(isLetIn(pair)).toBe(true);
        // The labels of web select the canary too: what the one may be asked the other may be.
        const [of, also] = [
          probe.owner,
          probe.owner === 'deployment/canary' ? 'deployment/web' : probe.owner,
        ];
        const concerning = pairs.filter(({ owner }) => owner === of || owner === also);
        const wasSeen = concerning.some(
          (pair) => pair.allowed && whose(pair) === whose(probe) && pair.port === probe.port,
        );
        if (concerning.length > 0) expect(isLetIn(probe)).toBe(wasSeen);
      }),
      { numRuns: 500 },
    );
  });
});
