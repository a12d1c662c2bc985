import { describe, expect, it } from '@jest/globals';
import { pairItems, rehearsalBody } from '../../../../src/apps/node/seen.ts';
import type { ConnectionRecord } from '../../../../src/model/connection.ts';
import { ConnectionRegistry } from '../../../../src/telemetry/connection-registry.ts';
import { PairTable } from '../../../../src/telemetry/flight/pairs.ts';
import { at, meshOf, pod, service } from '../../../support/mesh-builder.ts';
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

const objects = (kind: string, apiVersion: string, spec: object, name = 'all'): string =>
  JSON.stringify({ apiVersion, kind, metadata: { name, namespace: 'shop' }, spec });

const access = (spec: object): string => objects('NamespaceAccess', 'mesh-ebpf.io/v1alpha1', spec, 'out');

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
    const closed = objects('NamespaceAccess', 'mesh-ebpf.io/v1alpha1', { inbound: { default: 'Deny' } });
    const denied = rehearsalBody(view, seen, { objects: closed, prune: false }).items;
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

  describe('of what leaves the mesh', () => {
    const denied = (extra: Partial<ConnectionRecord> = {}): ConnectionRecord =>
      record({
        direction: 'outbound',
        path: 'direct',
        source: { address: { ...at('10.0.0.1:1'), port: 0 as never }, workload: web, identity: undefined },
        destination: { address: at('203.0.113.7:443'), workload: undefined, identity: undefined },
        originalDestination: at('203.0.113.7:443'),
        verdict: { allowed: false, policy: 'namespaceaccess/shop/out' as never, reason: 'closed' },
        transport: 'tcp',
        error: failure('POLICY_DENIED', 'policy'),
        ...extra,
      });
    const carried = (extra: Partial<ConnectionRecord> = {}): ConnectionRecord => {
      const { transport: _transport, ...rest } = denied(extra);
      return { ...rest, verdict: undefined, error: undefined, ...extra };
    };
    const closed = meshOf({
      workloads: [web, cart, db],
      access: [
        {
          key: 'namespaceaccess/shop/out' as never,
          namespace: 'shop',
          name: 'out',
          labels: {},
          inbound: undefined,
          egress: { default: 'deny', rules: [] },
        },
      ],
    }).view;
    const opened = access({ egress: { default: 'Deny', rules: [{ to: [{ cidr: '203.0.113.0/24' }] }] } });

    it('tells which refusals would be none any more', () => {
      const elsewhere = denied({ originalDestination: at('198.51.100.1:443') });
      const datagram = denied({ transport: 'udp', originalDestination: at('203.0.113.7:53') });
      const seen = nodeThatSaw(denied(), denied(), elsewhere, datagram);
      const body = rehearsalBody(closed, seen, { objects: opened, prune: false });
      expect(body).toMatchObject({ judged: 3, egress: { judged: 3, isChanged: true } });
      expect(body.items).toMatchObject([
        { direction: 'egress', destination: '203.0.113.7:443/tcp', after: { allowed: true } },
        {
          direction: 'egress',
          destination: '203.0.113.7:53/udp',
          namespace: 'shop',
          owner: 'deployment/web',
        },
      ]);
    });

    it('tells which of those that ztunnel carried would be refused', () => {
      const seen = nodeThatSaw(carried());
      const deny = access({ egress: { default: 'Deny' } });
      expect(rehearsalBody(view, seen, { objects: deny, prune: false })).toMatchObject({
        egress: { judged: 1, isChanged: true },
        items: [
          {
            sourceName: 'shop/web',
            destination: '203.0.113.7:443/tcp',
            before: { allowed: true, policy: null },
            after: { allowed: false, policy: 'namespaceaccess/shop/out' },
          },
        ],
      });
    });

    it('does not judge what went through the mesh, or nowhere', () => {
      const seen = nodeThatSaw(
        carried({ path: 'tunnel' }),
        carried({ error: failure('NO_ORIGINAL_DESTINATION', 'capture') }),
      );
      const body = rehearsalBody(view, seen, { objects: onlyWeb, prune: false });
      expect(body).toMatchObject({ items: [], egress: { judged: 0, isChanged: false } });
    });

    it('does not judge a Service that is reached within the mesh if it may not be left', () => {
      const mixed = meshOf({
        workloads: [web, cart, db],
        services: [
          service('shop/db', '10.96.0.9', '80:80', [{ address: '10.0.0.3' }, { address: '10.9.9.9' }]),
        ],
      });
      const seen = nodeThatSaw(carried({ originalDestination: at('10.96.0.9:80') }));
      const deny = access({ egress: { default: 'Deny' } });
      expect(rehearsalBody(mixed.view, seen, { objects: deny, prune: false }).items).toEqual([]);
    });

    it('says that objects which change nothing of egress do not', () => {
      const same = access({ egress: { default: 'Deny' } });
      const body = rehearsalBody(closed, nodeThatSaw(denied()), { objects: same, prune: false });
      expect(body).toMatchObject({ items: [], egress: { judged: 1, isChanged: false } });
    });
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
