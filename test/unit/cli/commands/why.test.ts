import { describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../../src/base/errors.ts';
import type { ConnectionItem } from '../../../../src/telemetry/admin-api.ts';
import type { MeshSpec } from '../../../support/mesh-builder.ts';
import { connection } from '../documents.ts';
import { db, explainingNode, onlyCart, shop, web } from '../explaining-nodes.ts';
import { fullNode } from '../fake-nodes.ts';
import { run } from '../harness.ts';

const denying: MeshSpec = { ...shop, policies: [onlyCart] };
const reason = 'shop/db-callers rule 1: source principal cluster.local/ns/shop/sa/web is not in principals';
const traceId = '0af7651916cd43dd8448eb211c80319c';

const from = { address: '10.1.0.1:4000', workload: 'shop/web-1', identity: web.identity };
const to = { address: '10.1.1.2:5433', workload: 'shop/db-0', identity: db.identity };

const outbound = connection('c-5', {
  source: from,
  destination: to,
  originalDestination: '10.96.0.1:5432',
  service: 'shop/db',
  traceId,
  outcome: 'failed',
  error: { code: 'CONNECT_REFUSED', hop: 'peer', message: 'answered 401', hint: null },
});
const inbound: ConnectionItem = {
  ...outbound,
  id: 'c-9',
  direction: 'inbound',
  outcome: 'denied',
  verdict: { allowed: false, policy: null, reason, audit: null, dryRun: null },
  error: { code: 'POLICY_DENIED', hop: 'policy', message: `no ALLOW policy matches: ${reason}`, hint: null },
};

const nodes = (mesh = denying) => [
  explainingNode('node-a', { mesh, recent: [outbound] }),
  explainingNode('node-b', { mesh, recent: [inbound] }),
];

describe('mesh-ebpf why', () => {
  it.each(['c-5', 'node-a/c-5', 'connection/node-b/c-9', 'c-9', traceId, traceId.slice(0, 8)])(
    'tells both ends of the connection %s, and that it would be so again',
    async (id) => {
      const { out, code } = await run(`why ${id}`, { nodes: nodes() });
      expect(code).toBe(0);
      expect(out).toMatch(/^DENIED {2}shop\/web-1 -> shop\/db:5432, trace 0af7651916cd43dd8448eb211c80319c/);
      expect(out).toMatch(/source +2026-\S+ node-a\/c-5: mTLS tunnel/);
      expect(out).toMatch(/destination +2026-\S+ node-b\/c-9: mTLS tunnel/);
      expect(out).toContain(`POLICY_DENIED at policy: no ALLOW policy matches: ${reason}`);
      expect(out).toContain('now: it would be denied again, for the same reason');
      expect(out).toMatch(/verdict +denied: no ALLOW policy matches/);
    },
  );

  it('says when something has changed since', async () => {
    const { out } = await run('why c-9', { nodes: nodes(shop) });
    expect(out).toContain('now: something has changed since, it would be allowed: no policy applies');
    const document = JSON.parse((await run('why c-9 -o json', { nodes: nodes(shop) })).out) as object;
    expect(document).toMatchObject({
      kind: 'ConnectionExplanation',
      outbound: { node: 'node-a', id: 'c-5' },
      inbound: { node: 'node-b', id: 'c-9', verdict: { reason } },
      now: { outcome: 'allowed' },
      changed: true,
    });
  });

  it('of a connection that went through says what would stop it now', async () => {
    const fine = { ...inbound, outcome: 'completed', error: null, verdict: null } as const;
    const { out } = await run('why c-9', {
      nodes: [
        explainingNode('node-a', { mesh: denying }),
        explainingNode('node-b', { mesh: denying, recent: [fine] }),
      ],
    });
    expect(out).toContain(
      `now: something has changed since, it would be denied: no ALLOW policy matches: ${reason}`,
    );
  });

  it('asks about somebody like it when the source is gone', async () => {
    const { requests, out } = await run('why c-9', {
      nodes: nodes({ ...denying, workloads: [db] }),
    });
    expect(out).toContain('it would be denied again');
    const asked = requests.flatMap(
      ({ target }) => new URL(target, 'http://x').searchParams.get('from') ?? [],
    );
    expect(asked).toContain('pod/shop/web-1');
    expect(asked).toContain(`${web.identity}@10.1.0.1`);
  });

  it('of what the kernel refused asks about the same protocol', async () => {
    const refused: ConnectionItem = {
      ...outbound,
      id: 'd-1',
      path: 'direct',
      transport: 'udp',
      traceId: null,
      destination: { address: '203.0.113.7:53', workload: null, identity: null },
      originalDestination: '203.0.113.7:53',
      service: null,
    };
    const { requests } = await run('why d-1', { nodes: [explainingNode('node-a', { recent: [refused] })] });
    expect(requests.some(({ target }) => target.includes(encodeURIComponent('203.0.113.7:53/udp')))).toBe(
      true,
    );
  });

  it('asks which one is meant where nodes share an id', async () => {
    const other = { ...inbound, traceId: 'ffff651916cd43dd8448eb211c80319c' };
    const sharing = [
      explainingNode('node-a', { recent: [{ ...outbound, id: 'c-9' }] }),
      explainingNode('node-b', { recent: [other] }),
    ];
    const { err, code } = await run('why c-9', { nodes: sharing });
    expect(code).toBe(2);
    expect(err).toMatch(
      /"c-9" is 2 connections[^]*node-a\/c-9 \(shop\/web-1 -> 10\.96\.0\.1:5432\), node-b\/c-9/,
    );
    expect((await run('why node-b/c-9', { nodes: sharing })).code).toBe(0);
  });

  it('is 1 where nobody knows it, and 3 where somebody who may know it is silent', async () => {
    const { code, err } = await run('why c-77', { nodes: nodes() });
    expect([code, err]).toEqual([1, expect.stringContaining('no node knows a connection "c-77"')]);
    const silent = fullNode('node-c', {
      '/v1/connections': new MeshError('UNAVAILABLE', 'no node process runs'),
    });
    expect((await run('why c-77', { nodes: [...nodes(), silent] })).code).toBe(3);
    expect((await run('why ../x', { nodes: nodes() })).code).toBe(2);
  });
});
