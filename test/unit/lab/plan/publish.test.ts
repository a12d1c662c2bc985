/** What a kubelet writes, and what it leaves alone. */
import { describe, expect, it } from '@jest/globals';
import type { PodCondition } from '../../../../src/lab/plan/pod-status.ts';
import { ownerLabel, publish } from '../../../../src/lab/plan/publish.ts';
import type { LocalPods } from '../../../../src/lab/plan/publish.ts';
import { labNode } from '../../../../src/lab/topology.ts';
import { objectsOf, pod, service } from '../objects.ts';

const ips = ['10.244.1.2', 'fd10:244:1::2'];
const node = labNode(1);
const running: PodCondition = { phase: 'Running', ready: true, restarts: 2, reason: '', message: '' };

const local = (
  conditions: Readonly<Record<string, PodCondition>>,
  gone: readonly string[] = [],
): LocalPods => ({
  conditions: new Map(Object.entries(conditions)),
  gone: new Set(gone),
});

const slice = (name: string, labels: Readonly<Record<string, string>>) => ({
  apiVersion: 'discovery.k8s.io/v1' as const,
  kind: 'EndpointSlice' as const,
  metadata: { name, namespace: 'shop', labels },
  addressType: 'IPv4' as const,
  endpoints: [],
});

describe('publishing', () => {
  it('writes status and slices, and nothing more once they are written', () => {
    const objects = objectsOf(pod({ ips, ready: false }), service('web'));
    const first = publish(objects, node, local({ 'uid-web': running }));
    expect(first.write.map(({ kind }) => kind)).toEqual(['Pod', 'EndpointSlice', 'EndpointSlice']);
    expect(first.write[0]).toMatchObject({
      status: {
        phase: 'Running',
        hostIP: '10.10.0.1',
        podIPs: [{ ip: ips[0] }, { ip: ips[1] }],
        containerStatuses: [{ restartCount: 2 }],
      },
    });
    const after = objectsOf(...objects.values(), ...first.write);
    expect(publish(after, node, local({ 'uid-web': running }))).toEqual({ write: [], remove: [] });
  });

  it('removes a pod that is gone together with its endpoints', () => {
    const objects = objectsOf(pod({ ips }), service('web'));
    const { write } = publish(objects, node, local({ 'uid-web': running }));
    const after = objectsOf(...objects.values(), ...write);
    const { remove } = publish(after, node, local({}, ['uid-web']));
    expect(remove.map(({ kind, metadata }) => `${kind} ${metadata.name}`)).toEqual([
      'Pod web',
      'EndpointSlice web-node-a',
      'EndpointSlice web-node-a-v6',
    ]);
  });

  it('touches neither pods nor slices of other nodes, nor slices written by hand', () => {
    const objects = objectsOf(
      pod({ ips, node: 'node-b' }),
      slice('b', { [ownerLabel]: 'node-b' }),
      slice('hand', {}),
    );
    expect(publish(objects, node, local({ 'uid-web': running }))).toEqual({ write: [], remove: [] });
  });
});
