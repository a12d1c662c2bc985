import { describe, expect, it } from '@jest/globals';
import type { ChangedVerdictItem } from '../../../../../src/telemetry/admin-api.ts';
import { document, type FakeNode, labNode, run } from '../../harness.ts';

const changed: ChangedVerdictItem = {
  direction: 'inbound',
  destination: null,
  identity: 'spiffe://cluster.local/ns/shop/sa/web',
  sourceIp: '10.0.0.1',
  sourceName: 'shop/web',
  namespace: 'shop',
  owner: 'deployment/db',
  port: 5432,
  count: 12,
  lastSeen: '2026-11-21T11:59:00.000Z',
  before: { allowed: true, policy: null, reason: 'no policy applies' },
  after: { allowed: false, policy: 'shop/db', reason: 'rule 1 matches' },
};

const judging = (
  items: readonly ChangedVerdictItem[],
  unjudged = 0,
  egress = { judged: 0, isChanged: false },
): FakeNode =>
  labNode('node-a', {
    '/v1/policies/rehearsal': document('PolicyRehearsal', { items, judged: 40, unjudged, egress }),
  });

const policy = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: db, namespace: shop}
spec: {action: DENY, rules: [{}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: shop}
`;
const files = { 'new.yaml': policy };

describe('mesh-ebpf policy diff', () => {
  it('shows what would change, how often it was seen, and what decides', async () => {
    const { code, out, requests } = await run('policy diff -f new.yaml', {
      nodes: [judging([changed])],
      files,
    });
    expect(code).toBe(1);
    expect(out).toMatch(
      /DENIED +12 +1m +cluster\.local\/ns\/shop\/sa\/web +shop\/db:5432 +shop\/db: rule 1 matches/,
    );
    expect(requests).toMatchObject([{ method: 'PUT', target: '/v1/policies/rehearsal?' }]);
    expect(JSON.parse(requests[0]?.body ?? '')).toMatchObject({
      kind: 'List',
      items: [{ kind: 'AuthorizationPolicy', metadata: { name: 'db' } }],
    });
  });

  it('exits with 0 when nothing changes, and says of how many', async () => {
    const { code, err } = await run('policy diff -f new.yaml', { nodes: [judging([], 2)], files });
    expect(code).toBe(0);
    expect(err).toMatch(/none of 40 connections/);
    expect(err).toMatch(/2 connections to pods that are gone/);
  });

  it('shows what would leave the mesh, and says of how much more it cannot know', async () => {
    const egress: ChangedVerdictItem = {
      ...changed,
      direction: 'egress',
      owner: 'deployment/web',
      port: 443,
      destination: '203.0.113.7:443/tcp',
      after: { allowed: true, policy: 'namespaceaccess/shop/out', reason: 'spec.egress.rules[0] allows it' },
    };
    const { out, err } = await run('policy diff -f new.yaml', {
      nodes: [judging([egress], 0, { judged: 3, isChanged: true })],
      files,
    });
    expect(out).toMatch(/allowed +12 +1m +cluster\.local\/ns\/shop\/sa\/web +203\.0\.113\.7:443\/tcp/);
    expect(err).toMatch(/of egress 3 connections could be judged.*is not remembered/);
  });

  it('leaves out the others if told to', async () => {
    const { requests } = await run('policy diff -f new.yaml --prune -n shop', {
      nodes: [judging([])],
      files,
    });
    expect(requests[0]?.target).toBe('/v1/policies/rehearsal?prune=true&namespace=shop');
  });

  it('asks nobody about policies that are not in order', async () => {
    const { code, requests, err } = await run('policy diff -f new.yaml', {
      nodes: [judging([])],
      files: { 'new.yaml': policy.replace('DENY', 'DENIED') },
    });
    expect([code, requests]).toEqual([3, []]);
    expect(err).toMatch(/new\.yaml:5:\d+/);
  });
});
