import { describe, expect, it } from '@jest/globals';
import { keep, nodeFeeds } from '../../../../src/kube/api/feed.ts';
import { translatePod } from '../../../../src/kube/translate/workload.ts';
import type { Pod } from '../../../../src/kube/objects.ts';
import type { NodeName } from '../../../../src/model/mesh.ts';
import { meshConfig } from '../../../support/mesh-builder.ts';

const feeds = nodeFeeds('node-a' as NodeName);
const raw = (annotations: Readonly<Record<string, string>>) => ({
  metadata: { name: 'web', namespace: 'shop', uid: 'u-1', annotations },
  spec: { nodeName: 'node-a', containers: [{ name: 'c' }] },
  status: { phase: 'Running', podIP: '10.0.0.1' },
});

const workload = (feedName: string, annotations: Readonly<Record<string, string>>) => {
  const feed = feeds.find(({ name }) => name === feedName);
  if (feed === undefined) throw new Error(`no feed ${feedName}`);
  const { object } = keep(feed, raw(annotations));
  return translatePod(
    { object: object as Pod, position: undefined },
    { mode: 'ambient', sameNode: undefined, accelerate: undefined },
    meshConfig,
  ).workload;
};

describe('what the choice of endpoints needs', () => {
  const kept = (feedName: string, object: Readonly<Record<string, unknown>>) => {
    const feed = feeds.find(({ name }) => name === feedName);
    if (feed === undefined) throw new Error(`no feed ${feedName}`);
    return keep(feed, { metadata: { name: 'web', namespace: 'shop', labels: zone }, ...object }).object;
  };
  const zone = { 'topology.kubernetes.io/zone': 'zone-1' };

  it.each([
    ['this node', {}, { metadata: { labels: zone } }],
    ...[
      { internalTrafficPolicy: 'Local' },
      { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } },
    ].map((spec) => ['services', { spec }, { spec }] as const),
    ...[
      { nodeName: 'node-a' },
      { hints: { forZones: [{ name: 'zone-1' }], forNodes: [{ name: 'node-a' }] } },
    ].map((given) => {
      const slice = { endpoints: [{ addresses: ['10.0.0.1'], ...given }] };
      return ['endpoint slices', { ...slice, addressType: 'IPv4' }, slice] as const;
    }),
  ])('is kept of %s: %j', (feed, given, expected) => {
    expect(kept(feed, given)).toMatchObject(expected);
  });
});

describe('what is kept of a pod', () => {
  const annotations = {
    'kubernetes.io/config.hash': 'hash-1',
    'ambient.istio.io/redirection': 'enabled',
    'example.com/long': 'x'.repeat(1000),
  };

  it('of this node: the UID by which the kubelet knows a static pod, and whether it is annotated', () => {
    expect(workload('pods of this node', annotations)).toMatchObject({ nodeUid: 'hash-1', annotated: true });
  });

  it('of another node: neither', () => {
    const { nodeUid, annotated } = workload('pods of other nodes', annotations) ?? {};
    expect([nodeUid, annotated]).toEqual([undefined, undefined]);
  });

  it('of any: that a sidecar captures its traffic', () => {
    for (const feed of ['pods of this node', 'pods of other nodes'])
      expect(workload(feed, { 'sidecar.istio.io/status': '{}' })?.protocol).toBe('tcp');
  });
});
