import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { type PlacedPod, placedPod } from '../../../../src/controller/kubernetes/placed-pod.ts';
import { PodIndex } from '../../../../src/controller/kubernetes/pod-index.ts';
import { PodPlacementPolicy } from '../../../../src/controller/kubernetes/pod-placement-policy.ts';
import { type PodsByNode, WatchedPods } from '../../../../src/controller/kubernetes/pods-by-node.ts';
import { type KubeObject, type ObjectKey, objectKey } from '../../../../src/kube/objects.ts';
import { parseSpiffeId } from '../../../../src/model/identity.ts';
import type { NodeName } from '../../../../src/model/mesh.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const keyOf = (name: string): ObjectKey => `Pod/shop/${name}` as ObjectKey;
const nodeA = 'node-a' as NodeName;
const web = { namespace: 'shop', serviceAccount: 'web' };
const pod = (overrides: Partial<PlacedPod> = {}): PlacedPod => ({
  uid: '1',
  name: 'web-1',
  node: nodeA,
  counts: true,
  ...web,
  ...overrides,
});

describe('a pod', () => {
  const metadata = { uid: '1', namespace: 'shop', name: 'web-1', labels: { app: 'web' } };

  it.each([
    ['runs', { nodeName: 'node-a', serviceAccountName: 'web' }, 'Running', true],
    ['has not started yet', { nodeName: 'node-a', serviceAccountName: 'web' }, 'Pending', true],
    ['is done', { nodeName: 'node-a', serviceAccountName: 'web' }, 'Succeeded', false],
    ['has failed', { nodeName: 'node-a', serviceAccountName: 'web' }, 'Failed', false],
    [
      'is in the node’s network',
      { nodeName: 'node-a', serviceAccountName: 'web', hostNetwork: true },
      'Running',
      false,
    ],
  ])('that %s counts or not', (_what, spec, phase, counts) => {
    expect(placedPod({ metadata, spec, status: { phase } })).toEqual(pod({ counts }));
  });

  it('that is on no node, or is no pod, is nothing', () => {
    for (const object of [{ metadata, spec: {} }, { metadata, spec: { nodeName: '' } }, {}, undefined, 'x']) {
      expect(placedPod(object)).toBeUndefined();
    }
  });
});

describe('the index of pods', () => {
  it('answers as a plain search through all pods would, whatever happened before', () => {
    const anyKey = fc.constantFrom('1', '2', '3', '4').map(keyOf);
    const anyPod = fc.record({
      uid: fc.constantFrom('1', '2', '3', '4'),
      name: fc.constant('p'),
      namespace: fc.constantFrom('shop', 'blog'),
      serviceAccount: fc.constantFrom('web', 'db'),
      node: fc.constantFrom(nodeA, 'node-b' as NodeName),
      counts: fc.boolean(),
    });
    const change = fc.oneof(fc.record({ key: anyKey, put: anyPod }), fc.record({ gone: anyKey }));
    fc.assert(
      fc.property(fc.array(change, { maxLength: 30 }), (changes) => {
        const index = new PodIndex();
        const plain = new Map<ObjectKey, PlacedPod>();
        for (const each of changes) {
          if ('put' in each) {
            index.put(each.key, each.put);
            plain.set(each.key, each.put);
          } else {
            index.delete(each.gone);
            plain.delete(each.gone);
          }
        }
        const runs = [...plain.values()].some(
          (p) => p.counts && p.node === nodeA && p.namespace === 'shop' && p.serviceAccount === 'web',
        );
        expect([index.size, index.runs(nodeA, web)]).toEqual([plain.size, runs]);
      }),
    );
  });
});

const object = (uid: string, node: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'web-0', namespace: 'shop', uid },
  spec: { nodeName: node, serviceAccountName: 'web', containers: [] },
});
const set = (uid: string, node: string) => ({
  set: [{ object: object(uid, node), position: undefined }],
  deleted: [],
});

describe('what a source of objects tells', () => {
  it('moves a pod that was made anew under its name elsewhere', () => {
    const index = new PodIndex();
    index.changed(set('1', 'node-a'));
    expect(index.runs(nodeA, web)).toBe(true);
    index.changed(set('2', 'node-b'));
    expect([index.size, index.runs(nodeA, web)]).toEqual([1, false]);
  });

  it('ends an identity’s right with its last pod', () => {
    const index = new PodIndex();
    index.changed(set('1', 'node-a'));
    index.changed({ set: [], deleted: [objectKey(object('1', 'node-a'))] });
    expect([index.size, index.runs(nodeA, web)]).toEqual([0, false]);
  });
});

const live = (answer: boolean): PodsByNode & { asked: number } => ({
  asked: 0,
  async runs() {
    this.asked += 1;
    return answer;
  },
  nodeOf: async () => undefined,
});

describe('who may have an identity', () => {
  const identity = parseSpiffeId('spiffe://cluster.local/ns/shop/sa/web');
  it('is decided by the watch, without a question to the API server', async () => {
    const index = new PodIndex();
    index.put(keyOf('web-1'), pod());
    const asked = live(false);
    const policy = new PodPlacementPolicy(new WatchedPods(index, asked, new FakeClock()));
    expect(await policy.decide({ type: 'node', node: nodeA }, identity)).toEqual({ allowed: true });
    expect(asked.asked).toBe(0);
  });

  it('is asked of the API server for a pod so new that the watch has not shown it', async () => {
    const policy = new PodPlacementPolicy(new WatchedPods(new PodIndex(), live(true), new FakeClock()));
    expect(await policy.decide({ type: 'node', node: nodeA }, identity)).toEqual({ allowed: true });
  });

  it('is not a node without such a pod, and the reason names both', async () => {
    const policy = new PodPlacementPolicy(new WatchedPods(new PodIndex(), live(false), new FakeClock()));
    expect(await policy.decide({ type: 'node', node: nodeA }, identity)).toEqual({
      allowed: false,
      reason: 'no pod of service account shop/web is on node node-a',
    });
  });

  it('is not looked up endlessly for one node; other nodes do not notice', async () => {
    const asked = live(false);
    const pods = new WatchedPods(new PodIndex(), asked, new FakeClock());
    const results = await Promise.allSettled(
      Array.from({ length: 1_000 }, async () => await pods.runs(nodeA, web)),
    );
    expect(results.at(-1)).toMatchObject({ status: 'rejected', reason: { code: 'OVERLOADED' } });
    expect(asked.asked).toBeLessThanOrEqual(200);
    expect(await pods.runs('node-b' as NodeName, web)).toBe(false);
  });
});
