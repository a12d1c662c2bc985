/** What `lab apply` makes of manifests. */
import { describe, expect, it } from '@jest/globals';
import type { KubeObject } from '../../../../src/kube/objects.ts';
import { admit } from '../../../../src/lab/plan/admit.ts';
import type { Admission } from '../../../../src/lab/plan/admit.ts';
import { labNodes } from '../../../../src/lab/topology.ts';
import { account, namespace, objectsOf, pod, service } from '../objects.ts';

const present = [namespace('shop'), account('default'), account('web')];

function apply(manifests: readonly KubeObject[], existing: readonly KubeObject[] = present): Admission {
  let count = 0;
  return admit({
    manifests: manifests.map((object) => ({ object, position: { file: 'shop.yaml', line: 3, column: 1 } })),
    existing: objectsOf(...existing),
    nodes: labNodes(2),
    leases: {},
    now: '2026-01-01T00:00:00.000Z',
    newUid: () => `new-${++count}`,
  });
}

/** As a person writes it: no uid, no status. */
function manifest<Object extends KubeObject>(object: Object): Object {
  const { uid: _uid, ...metadata } = object.metadata;
  const { status: _status, ...rest } = { status: undefined, ...object };
  return { ...rest, metadata } as unknown as Object;
}

const newPod = (name: string, spec: object = {}) =>
  manifest({ ...pod({ name }), spec: { containers: [{ name: 'main' }], ...spec } });

const messages = ({ problems }: Admission): string[] =>
  problems.map(({ field, message }) => `${field}: ${message}`);

describe('applying a pod', () => {
  it('places it, gives it addresses, a uid and the default account, and leaves it pending', () => {
    const { admitted, leases } = apply([newPod('web')]);
    expect(admitted).toMatchObject([
      {
        action: 'created',
        object: {
          metadata: { uid: 'new-1', creationTimestamp: '2026-01-01T00:00:00.000Z' },
          spec: { nodeName: 'node-a', serviceAccountName: 'default' },
          status: {
            phase: 'Pending',
            podIP: '10.244.1.2',
            podIPs: [{ ip: '10.244.1.2' }, { ip: 'fd10:244:1::2' }],
          },
        },
      },
    ]);
    expect(leases).toEqual({ 'node-a': 2 });
  });

  it('spreads pods without a node over the nodes', () => {
    const { admitted } = apply(['a', 'b', 'c', 'd'].map((name) => newPod(name)));
    const nodes = admitted.map(({ object }) => (object.kind === 'Pod' ? object.spec.nodeName : ''));
    expect(nodes).toEqual(['node-a', 'node-b', 'node-a', 'node-b']);
  });

  it('says which nodes there are when it names another', () => {
    const { problems } = apply([newPod('web', { nodeName: 'node-z' })]);
    expect(problems).toMatchObject([
      {
        severity: 'error',
        message: 'there is no node "node-z"',
        hint: expect.stringContaining('node-a, node-b'),
      },
    ]);
  });

  it('refuses namespaces and accounts that do not exist, with the place in the file', () => {
    const lost = manifest(pod({ namespace: 'nowhere' }));
    const admission = apply([lost, newPod('db', { serviceAccountName: 'nobody' })]);
    expect(messages(admission)).toEqual([
      'metadata.namespace: there is no namespace "nowhere"',
      'spec.serviceAccountName: namespace "shop" has no service account "nobody"',
    ]);
    expect(admission.problems[0]?.position).toEqual({ file: 'shop.yaml', line: 3, column: 1 });
  });

  it('finds a namespace and an account declared further down', () => {
    const below = [
      pod({ namespace: 'new', spec: { serviceAccountName: 'db' } }),
      account('db', 'new'),
      namespace('new'),
    ];
    const { admitted, problems } = apply(below.map(manifest));
    expect(problems).toEqual([]);
    expect(admitted.map(({ object }) => `${object.kind} ${object.metadata.name}`)).toEqual([
      'Namespace new',
      'ServiceAccount default',
      'ServiceAccount db',
      'Pod web',
    ]);
  });

  it('names what a pod of the lab cannot have', () => {
    const two = [{ name: 'a' }, { name: 'b' }];
    const probe = { name: 'c', readinessProbe: { exec: { command: ['true'] } } };
    const specs = [
      { hostNetwork: true },
      { containers: two },
      { initContainers: two },
      { containers: [probe] },
    ];
    const found = messages(apply(specs.map((spec, i) => newPod(`p${i}`, spec))));
    expect(found.map((message) => message.split(':')[0])).toEqual([
      'spec.hostNetwork',
      'spec.containers[1]',
      'spec.initContainers',
      'spec.containers[0].readinessProbe',
    ]);
  });

  it('warns that an image is not run, and goes on', () => {
    const { problems, admitted } = apply([newPod('web', { containers: [{ name: 'c', image: 'nginx' }] })]);
    expect(problems).toMatchObject([{ severity: 'warning', field: 'spec.containers[0].image' }]);
    expect(admitted).toHaveLength(1);
  });
});

describe('applying a pod that exists', () => {
  const stored = apply([newPod('web')]).admitted.map(({ object }) => object);
  const again = (change: KubeObject): Admission => apply([change], [...present, ...stored]);

  it('changes nothing when nothing changed', () => {
    expect(again(newPod('web')).admitted).toMatchObject([{ action: 'unchanged' }]);
  });

  it('changes its labels and keeps its addresses and uid', () => {
    const relabelled = {
      ...newPod('web'),
      metadata: { name: 'web', namespace: 'shop', labels: { app: 'other' } },
    };
    expect(again(relabelled).admitted).toMatchObject([
      {
        action: 'configured',
        object: { metadata: { uid: 'new-1', labels: { app: 'other' } }, status: { podIP: '10.244.1.2' } },
      },
    ]);
  });

  it.each([
    ['another command', { containers: [{ name: 'main', command: ['sleep'] }] }],
    ['another node', { nodeName: 'node-b' }],
    ['another account', { serviceAccountName: 'web' }],
  ])('refuses %s and says how to get it', (_what, spec) => {
    const { problems, admitted } = again(newPod('web', spec));
    expect(admitted).toEqual([]);
    expect(problems).toMatchObject([{ hint: 'first: mesh-ebpf lab delete pod web -n shop' }]);
  });

  it('refuses while the old one still ends', () => {
    const ending = pod({ deleted: '2026-01-01T00:00:10Z' });
    expect(messages(apply([newPod('web')], [...present, ending]))).toEqual([
      ': the pod of this name is still being deleted',
    ]);
  });
});

describe('applying a Service', () => {
  it('gives it cluster addresses once', () => {
    const [first] = apply([manifest(service('web'))]).admitted;
    expect(first).toMatchObject({
      object: { spec: { clusterIP: '10.96.1.0', clusterIPs: ['10.96.1.0', 'fd10:96::100'] } },
    });
    const stored = first === undefined ? [] : [first.object];
    expect(apply([manifest(service('web'))], [...present, ...stored]).admitted).toMatchObject([
      { action: 'unchanged' },
    ]);
  });

  it('leaves a headless one without', () => {
    const { admitted } = apply([manifest(service('web', { clusterIP: 'None' }))]);
    expect(admitted).toMatchObject([{ object: { spec: { clusterIP: 'None' } } }]);
  });

  it('gives two in one file different addresses', () => {
    const { admitted } = apply([manifest(service('a')), manifest(service('b'))]);
    const ips = admitted.map(({ object }) => (object.kind === 'Service' ? object.spec.clusterIP : ''));
    expect(new Set(ips).size).toBe(2);
  });

  it('refuses an address that is taken, or not the lab’s', () => {
    const owner = service('a', { clusterIP: '10.96.1.9', clusterIPs: ['10.96.1.9'] });
    const same = manifest(service('b', { clusterIP: '10.96.1.9' }));
    const foreign = manifest(service('c', { clusterIP: '192.0.2.1' }));
    expect(messages(apply([same, foreign], [...present, owner]))).toEqual([
      ': its cluster address belongs to service shop/a',
      'spec.clusterIP: 192.0.2.1 is not in 10.96.0.0/16 or fd10:96::/112',
    ]);
  });

  it('refuses ExternalName, and warns of types that promise more than there is', () => {
    const { problems } = apply([
      manifest(service('a', { type: 'ExternalName', externalName: 'example.com' })),
      manifest(service('b', { type: 'NodePort' })),
    ]);
    expect(problems.map(({ severity }) => severity)).toEqual(['error', 'warning']);
  });
});
