/** Builders for the lab's tests, of Kubernetes objects mostly: what a test does not name is as ordinary as can be. */
import type { KubeObject, Pod, Service } from '../../../src/kube/objects.ts';
import { objectKey } from '../../../src/kube/objects.ts';
import { type LabState, newLabState } from '../../../src/lab/lab-file.ts';

export const labState = (asked: Partial<LabState> = {}): LabState =>
  newLabState({
    nodeCount: 2,
    mesh: true,
    clockOffsets: {},
    cgroup2: '/cg',
    mountedBpffs: false,
    program: ['node', 'main'],
    kubelets: {},
    ...asked,
  });

export interface PodSketch {
  readonly name?: string;
  readonly namespace?: string;
  readonly node?: string;
  readonly ips?: readonly string[];
  readonly ready?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
  readonly deleted?: string;
  readonly phase?: NonNullable<Pod['status']>['phase'];
  readonly spec?: Partial<Pod['spec']>;
}

export function pod(sketch: PodSketch = {}): Pod {
  const {
    name = 'web',
    namespace = 'shop',
    node = 'node-a',
    ips = [],
    ready = true,
    labels = { app: name },
  } = sketch;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace,
      uid: `uid-${name}`,
      labels,
      ...(sketch.deleted === undefined ? {} : { deletionTimestamp: sketch.deleted }),
    },
    spec: { nodeName: node, containers: [{ name: 'main' }], ...sketch.spec },
    status: {
      phase: sketch.phase ?? 'Running',
      podIPs: ips.map((ip) => ({ ip })),
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
    },
  };
}

export const service = (name: string, spec: Partial<Service['spec']> = {}): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'shop', uid: `uid-${name}` },
  spec: { selector: { app: name }, ports: [{ port: 80 }], ...spec },
});

export const namespace = (name: string, labels: Readonly<Record<string, string>> = {}): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, uid: `uid-${name}`, labels },
});

export const account = (name: string, inNamespace = 'shop'): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ServiceAccount',
  metadata: { name, namespace: inNamespace, uid: `uid-${name}` },
});

export const objectsOf = (...objects: readonly KubeObject[]): ReadonlyMap<string, KubeObject> =>
  new Map(objects.map((object) => [objectKey(object), object]));
