import { describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../../../src/base/errors.ts';
import { parseManifests } from '../../../../../src/kube/parse-manifests.ts';
import type { PairItem } from '../../../../../src/telemetry/admin-api.ts';
import { document, type FakeNode, labNode, run } from '../../harness.ts';

const pair = (extra: Partial<PairItem> = {}): PairItem => ({
  allowed: true,
  identity: 'spiffe://cluster.local/ns/shop/sa/web',
  sourceIp: '10.0.0.1',
  sourceName: 'shop/web',
  namespace: 'shop',
  owner: 'deployment/db',
  labels: { app: 'db' },
  alsoSelected: [],
  port: 5432,
  policy: null,
  count: 3,
  firstSeen: '2026-11-21T10:00:00.000Z',
  lastSeen: '2026-11-21T11:59:00.000Z',
  ...extra,
});

const seeing = (name: string, ...items: readonly PairItem[]): FakeNode =>
  labNode(name, { '/v1/pairs': document('PairList', { items }) });

describe('mesh-ebpf policy suggest', () => {
  it('writes policies that kubectl takes, with what they are based on', async () => {
    const nodes = [
      seeing('node-a', pair()),
      seeing('node-b', pair({ count: 4 }), pair({ owner: 'deployment/api', labels: { app: 'true' } })),
    ];
    const { code, out, requests } = await run('policy suggest -n shop', { nodes });
    expect(code).toBe(0);
    expect(out).toMatch(
      /# For deployment\/db: 7 connections from 2026-11-21T10:00:00Z to 2026-11-21T11:59:00Z/,
    );
    const { objects, errors } = parseManifests([{ path: 'out', text: out }], { strict: true });
    expect(errors).toEqual([]);
    expect(objects.map(({ object }) => object)).toMatchObject([
      {
        metadata: { name: 'api-seen', namespace: 'shop' },
        spec: { selector: { matchLabels: { app: 'true' } } },
      },
      {
        kind: 'AuthorizationPolicy',
        metadata: { name: 'db-seen', namespace: 'shop' },
        spec: {
          action: 'ALLOW',
          selector: { matchLabels: { app: 'db' } },
          rules: [
            {
              from: [{ source: { principals: ['cluster.local/ns/shop/sa/web'] } }],
              to: [{ operation: { ports: ['5432'] } }],
            },
          ],
        },
      },
    ]);
    expect(requests.map(({ target }) => target)).toEqual([
      '/v1/pairs?namespace=shop',
      '/v1/pairs?namespace=shop',
    ]);
  });

  it('tells in comments what was denied, if asked', async () => {
    const nodes = [
      seeing('node-a', pair(), pair({ allowed: false, identity: 'spiffe://cluster.local/ns/bots/sa/bot' })),
    ];
    expect((await run('policy suggest -n shop', { nodes })).out).not.toMatch(/bots/);
    const { out } = await run('policy suggest -n shop --include-denied', { nodes });
    expect(out).toMatch(/# Denied so far[^]*\n# +- "cluster\.local\/ns\/bots\/sa\/bot"/);
    const { objects } = parseManifests([{ path: 'out', text: out }], { strict: true });
    expect(JSON.stringify(objects)).not.toMatch(/bots/);
  });

  it('looks back as far as it is told', async () => {
    const nodes = [seeing('node-a', pair({ lastSeen: '2026-11-21T11:00:00.000Z' }))];
    expect((await run('policy suggest -n shop --since 2h', { nodes })).code).toBe(0);
    const { code, err } = await run('policy suggest -n shop --since 30m', { nodes });
    expect(code).toBe(1);
    expect(err).toMatch(/no connection to pods of namespace shop was seen/);
  });

  it('says for whom it can propose nothing', async () => {
    const nodes = [seeing('node-a', pair({ labels: null }))];
    const { err, code } = await run('policy suggest -n shop', { nodes });
    expect(err).toMatch(/shop deployment\/db: no pod of it is there any more/);
    expect(code).toBe(1);
  });

  it('lets no node write into the YAML what it likes', async () => {
    const evil = 'x\n---\nkind: Secret';
    const nodes = [
      seeing(
        'node-a',
        pair({ sourceName: evil, owner: `deployment/${evil}`, labels: { app: evil }, identity: null }),
      ),
    ];
    const { out } = await run('policy suggest -n shop', { nodes });
    expect(out).not.toMatch(/^kind: Secret|^---/m);
  });

  it('says so when a node is silent', async () => {
    const silent = labNode('node-b', { '/v1/pairs': new MeshError('UNAVAILABLE', 'gone') });
    expect((await run('policy suggest -n shop', { nodes: [seeing('node-a', pair()), silent] })).code).toBe(3);
  });

  it('prints JSON, too, and needs a namespace', async () => {
    const { out } = await run('policy suggest -n shop -o json', { nodes: [seeing('node-a', pair())] });
    expect(JSON.parse(out)).toMatchObject({ items: [{ owners: ['deployment/db'], connections: 3 }] });
    expect((await run('policy suggest')).code).toBe(2);
  });
});
