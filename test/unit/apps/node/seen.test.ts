import { describe, expect, it } from '@jest/globals';
import { pairItems, rehearsalBody } from '../../../../src/apps/node/seen.ts';
import type { ConnectionRecord } from '../../../../src/model/connection.ts';
import { ConnectionRegistry } from '../../../../src/telemetry/connection-registry.ts';
import { PairTable } from '../../../../src/telemetry/flight/pairs.ts';
import { at, meshOf, pod } from '../../../support/mesh-builder.ts';
import { failure, record } from '../../telemetry/records.ts';

const web = pod('shop/web', { ips: ['10.0.0.1'], labels: { app: 'web' } });
const cart = pod('shop/cart', { ips: ['10.0.0.2'], labels: { app: 'cart' } });
const db = pod('shop/db', { ips: ['10.0.0.3'], labels: { app: 'db' } });
const { view } = meshOf({ workloads: [web, cart, db] });

const to = (source: typeof web, extra: Partial<ConnectionRecord> = {}): ConnectionRecord =>
  record({
    direction: 'inbound',
    source: { address: at(`${source.addresses[0]}:40000`), workload: source, identity: source.identity },
    destination: { address: at('10.0.0.3:5432'), workload: db, identity: db.identity },
    verdict: { allowed: true, policy: undefined, reason: 'no policy applies' },
    ...extra,
  });

function nodeThatSaw(...records: readonly ConnectionRecord[]) {
  const registry = new ConnectionRegistry({ capacityPerPod: 3 });
  const pairs = new PairTable();
  for (const each of records) {
    pairs.completed(each);
    registry.completed(each);
  }
  return { registry, pairs };
}

const policies = (rules: string): string =>
  `{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
    "metadata": {"name": "db", "namespace": "shop"}, "spec": {"rules": ${rules}}}]}`;

const onlyWeb = policies('[{"from": [{"source": {"principals": ["cluster.local/ns/shop/sa/web"]}}]}]');

describe('what a node has seen', () => {
  it('is told with the labels to select the pods by', () => {
    const { pairs } = nodeThatSaw(to(web), to(web));
    expect(pairItems(view, pairs.all(), 'shop')).toMatchObject([
      {
        identity: web.identity,
        sourceName: 'shop/web',
        owner: 'deployment/db',
        labels: { app: 'db' },
        port: 5432,
        count: 2,
      },
    ]);
    expect(pairItems(view, pairs.all(), 'blog')).toEqual([]);
  });
});

const objects = (kind: string, apiVersion: string, spec: object): string =>
  JSON.stringify({ apiVersion, kind, metadata: { name: 'all', namespace: 'shop' }, spec });

describe('what other policies would change', () => {
  it('is told with counts, and beyond the single connections that are remembered', () => {
    const seen = nodeThatSaw(...Array.from({ length: 10 }, () => to(cart)), to(web));
    const body = rehearsalBody(view, seen, { objects: onlyWeb, prune: false });
    expect(body).toMatchObject({
      judged: 11,
      unjudged: 0,
      items: [
        { identity: cart.identity, owner: 'deployment/db', port: 5432, count: 10, after: { allowed: false } },
      ],
    });
    expect(body.items[0]?.after.reason).toMatch(/is not in principals/);
  });

  it('is what would be allowed, too', () => {
    const denying = meshOf({
      workloads: [web, cart, db],
      policies: [
        {
          key: 'shop/old',
          namespace: 'shop',
          name: 'old',
          action: 'allow',
          scope: { type: 'namespace' },
          rules: [],
        } as never,
      ],
    });
    const refused = to(web, {
      verdict: { allowed: false, policy: undefined, reason: 'no rule' },
      error: failure('POLICY_DENIED', 'policy'),
    });
    const seen = nodeThatSaw(refused);
    expect(rehearsalBody(denying.view, seen, { objects: onlyWeb, prune: false }).items).toMatchObject([
      { before: { allowed: false }, after: { allowed: true, policy: 'shop/db' } },
    ]);
  });

  it('is told of defaults of namespaces, and of plaintext under STRICT, too', () => {
    const plaintext = { address: at('10.9.9.9:1'), workload: undefined, identity: undefined };
    const seen = nodeThatSaw(to(web), to(web, { source: plaintext }));
    const access = objects('NamespaceAccess', 'mesh-ebpf.io/v1alpha1', { inbound: { default: 'Deny' } });
    const denied = rehearsalBody(view, seen, { objects: access, prune: false }).items;
    expect(denied.map(({ after }) => after.policy)).toEqual([
      'namespaceaccess/shop/all',
      'namespaceaccess/shop/all',
    ]);
    const strict = objects('PeerAuthentication', 'security.istio.io/v1', { mtls: { mode: 'STRICT' } });
    expect(rehearsalBody(view, seen, { objects: strict, prune: false }).items).toMatchObject([
      {
        identity: null,
        sourceIp: '10.9.9.9',
        after: { allowed: false, policy: 'peerauthentication/shop/all' },
      },
    ]);
  });

  it('leaves out the other policies only if told to', () => {
    const { view: denying } = meshOf({
      workloads: [web, cart, db],
      policies: [
        {
          key: 'shop/no',
          namespace: 'shop',
          name: 'no',
          action: 'deny',
          scope: { type: 'namespace' },
          rules: [{}],
        } as never,
      ],
    });
    const seen = nodeThatSaw(to(web));
    const items = (extra: object) =>
      rehearsalBody(denying, seen, { objects: onlyWeb, prune: false, ...extra }).items;
    expect(items({})).toEqual([]);
    expect(items({ prune: true })).toMatchObject([{ after: { allowed: true } }]);
    expect(items({ prune: true, namespace: 'blog' })).toEqual([]);
  });

  it('cannot be told of pods that are gone with all of their kind', () => {
    const gone = { ...db, uid: 'gone' as typeof db.uid, owner: { kind: 'job', name: 'once' } };
    const seen = nodeThatSaw(
      to(web, { destination: { address: at('10.0.0.9:1'), workload: gone, identity: undefined } }),
    );
    expect(rehearsalBody(view, seen, { objects: onlyWeb, prune: false })).toMatchObject({
      judged: 0,
      unjudged: 1,
    });
  });

  it('is not told for policies that are not in order', () => {
    const seen = nodeThatSaw(to(web));
    const wrong = policies('[{"from": [{"source": {"ipBlocks": ["nonsense"]}}]}]');
    expect(() => rehearsalBody(view, seen, { objects: wrong, prune: false })).toThrow(/nonsense/);
    expect(() => rehearsalBody(view, seen, { objects: 'nonsense', prune: false })).toThrow(
      /expected an object/,
    );
  });
});
