/**
 * The cluster that the node program is shown: as many pods as asked, 1 000 Services and their slices, as the API server
 * of a real one would have them. Pure. Pods are API objects only, but seven on the measured node, which run.
 */
import type { Call } from '../cluster/support/bulk-api.ts';
import type { Stored } from '../cluster/support/etcd-writer.ts';

export const serviceCount = 1000;
export const measuredNode = 'node-1';
/** Labelled and unlabelled by the bench; its pods run. */
export const toggledNamespace = 'bench-toggled';
export const runningPods = 7;

const namespaceCount = 20;
const podsPerNode = 30;
/** Objects of the measured node that belong to no mesh: its feed has them too. */
const idlePods = 30;
const idleNamespace = 'bench-idle';
const changingNode = 'fake-changing';

export interface Placed {
  readonly namespace: string;
  readonly name: string;
  readonly node: string;
  readonly ip: string;
  readonly serviceAccount: string;
}

const namespaceOf = (service: number): string => `bench-${service % namespaceCount}`;
const appOf = (service: number): string => `app-${service}`;
const address = (network: number, i: number): string =>
  `10.${network + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`;

/** The pods of a Service are spread over nodes, as a scheduler would have it. */
export function fakePod(i: number): Placed {
  const service = i % serviceCount;
  return {
    namespace: namespaceOf(service),
    name: `${appOf(service)}-7d9f8c6b5d-${i}`,
    node: `fake-${Math.floor(i / podsPerNode)}`,
    ip: address(128, i),
    serviceAccount: appOf(service),
  };
}

/** One that comes and goes while the node program is watched. */
export const changingPod = (i: number): Placed => ({
  ...fakePod(0),
  name: `changing-${i}`,
  node: changingNode,
  ip: address(160, i),
});

export const runningPod = (i: number): Placed => ({
  namespace: toggledNamespace,
  name: `runs-${i}`,
  node: measuredNode,
  ip: `10.244.1.${11 + i}`,
  serviceAccount: `runs-${i}`,
});

const idlePod = (i: number): Placed => ({
  namespace: idleNamespace,
  name: `idle-${i}`,
  node: measuredNode,
  ip: `10.244.1.${100 + i}`,
  serviceAccount: 'idle',
});

const range = (from: number, to: number): readonly number[] =>
  Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);

/** In steps: what one refers to is in those before it. */
export const foundation = (): readonly (readonly Call[])[] => [
  [
    ...range(0, namespaceCount).map((i) => namespace(namespaceOf(i), 'ambient')),
    namespace(toggledNamespace, undefined),
    namespace(idleNamespace, undefined),
  ],
  [
    serviceAccount(fakePod(0).namespace, fakePod(0).serviceAccount),
    ...range(0, runningPods).map((i) => serviceAccount(toggledNamespace, runningPod(i).serviceAccount)),
    serviceAccount(idleNamespace, 'idle'),
  ],
  range(0, serviceCount).map(service),
  range(0, idlePods).map((i) => create(idlePod(i))),
  range(0, idlePods).map((i) => run(idlePod(i))),
];

/** The pods from one number to another, running. */
export const morePods = (from: number, to: number): readonly Stored[] =>
  range(from, to).map((i) => {
    const pod = fakePod(i);
    const object = { ...podBody(pod), status: statusOf(pod) };
    return { key: `pods/${pod.namespace}/${pod.name}`, object: completed(object, i) };
  });

/** The slices of all Services, as the first `pods` pods make them. */
export const slices = (pods: number): readonly Stored[] =>
  range(0, serviceCount).map((i) => {
    const endpoints = Math.floor((pods - 1 - i) / serviceCount) + 1;
    const key = `endpointslices/${namespaceOf(i)}/${sliceName(i)}`;
    return { key, object: completed(slice(i, endpoints), 1_000_000 + i) };
  });

/** With what an API server adds, and sends along: who has set which field is a quarter of most objects. */
function completed(object: ObjectBody, i: number): object {
  const metadata = {
    ...object.metadata,
    uid: `6f0e1c1e-54a6-4a52-9a0f-${String(i).padStart(12, '0')}`,
    creationTimestamp: since,
    managedFields: [
      {
        manager: 'kube-controller-manager',
        operation: 'Update',
        apiVersion: object.apiVersion,
        time: since,
        fieldsType: 'FieldsV1',
        fieldsV1: fieldsOf(object),
      },
    ],
  };
  return { ...object, metadata };
}

const fieldsOf = (value: object): object =>
  Object.fromEntries(
    Object.entries(value).map(([name, field]) => [
      `f:${name}`,
      typeof field === 'object' && field !== null ? fieldsOf(field as object) : {},
    ]),
  );

interface ObjectBody {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: object;
  readonly [field: string]: unknown;
}

export const toggled = (mode: string | null): Call => ({
  method: 'PATCH',
  path: `/api/v1/namespaces/${toggledNamespace}`,
  body: { metadata: { labels: { 'istio.io/dataplane-mode': mode } } },
});

/** For the certificate authority, which grants a node the identities of its labelled pods. */
export const manifestOfRunningPods = (): string =>
  [
    namespace(toggledNamespace, 'ambient').body,
    ...range(0, runningPods).map((i) => {
      const pod = runningPod(i);
      return { ...podBody(pod), status: { phase: 'Running', podIP: pod.ip } };
    }),
  ]
    .map((object) => JSON.stringify(object))
    .join('\n---\n');

const namespace = (name: string, mode: string | undefined): Call => ({
  method: 'POST',
  path: '/api/v1/namespaces',
  body: {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, ...(mode === undefined ? {} : { labels: { 'istio.io/dataplane-mode': mode } }) },
  },
});

const serviceAccount = (in_: string, name: string): Call => ({
  method: 'POST',
  path: `/api/v1/namespaces/${in_}/serviceaccounts`,
  body: { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name } },
});

const service = (i: number): Call => ({
  method: 'POST',
  path: `/api/v1/namespaces/${namespaceOf(i)}/services`,
  body: {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: appOf(i), labels: { app: appOf(i) } },
    spec: { selector: { app: appOf(i) }, ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
  },
});

const sliceName = (i: number): string => `${appOf(i)}-abcde`;

const slice = (i: number, endpoints: number): ObjectBody => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: {
    name: sliceName(i),
    namespace: namespaceOf(i),
    labels: { 'kubernetes.io/service-name': appOf(i) },
  },
  addressType: 'IPv4',
  ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
  endpoints: range(0, endpoints).map((n) => endpoint(fakePod(i + n * serviceCount))),
});

const endpoint = ({ namespace: in_, name, node, ip }: Placed): object => ({
  addresses: [ip],
  conditions: { ready: true, serving: true, terminating: false },
  nodeName: node,
  targetRef: { kind: 'Pod', namespace: in_, name },
  zone: 'zone-1',
});

const podPath = ({ namespace: in_, name }: Placed): string => `/api/v1/namespaces/${in_}/pods/${name}`;

export const create = (pod: Placed): Call => ({
  method: 'POST',
  path: `/api/v1/namespaces/${pod.namespace}/pods`,
  body: podBody(pod),
});

/** What a kubelet says of a pod that has begun to run. */
export const run = (pod: Placed): Call => ({
  method: 'PATCH',
  path: `${podPath(pod)}/status`,
  body: { status: statusOf(pod) },
});

export const remove = (pod: Placed): Call => ({
  method: 'DELETE',
  path: podPath(pod),
  body: { apiVersion: 'v1', kind: 'DeleteOptions', gracePeriodSeconds: 0 },
});

/** With what a Deployment's pod commonly has: the node program is sent all of it. */
function podBody({ namespace: in_, name, node, serviceAccount: serviceAccountName }: Placed): ObjectBody {
  const app = serviceAccountName;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: in_,
      labels: { app, version: 'v1', 'pod-template-hash': '7d9f8c6b5d', 'app.kubernetes.io/part-of': 'bench' },
      annotations: { 'prometheus.io/scrape': 'true', 'prometheus.io/port': '9090' },
      ownerReferences: [
        {
          apiVersion: 'apps/v1',
          kind: 'ReplicaSet',
          name: `${app}-7d9f8c6b5d`,
          uid: '6f0e1c1e-54a6-4a52-9a0f-6a2a3c1b7d5e',
          controller: true,
        },
      ],
    },
    spec: {
      nodeName: node,
      serviceAccountName,
      serviceAccount: serviceAccountName,
      restartPolicy: 'Always',
      dnsPolicy: 'ClusterFirst',
      schedulerName: 'default-scheduler',
      terminationGracePeriodSeconds: 30,
      containers: [container(app)],
      tolerations: [{ key: 'dedicated', operator: 'Equal', value: 'bench', effect: 'NoSchedule' }],
    },
  };
}

const container = (app: string): object => ({
  name: 'server',
  image: `registry.example/${app}:1.2.3`,
  args: ['--port=8080', '--log=json'],
  ports: [{ name: 'http', containerPort: 8080 }],
  env: ['DATABASE_URL', 'CACHE_URL', 'QUEUE_URL', 'REGION'].map((variable) => ({
    name: variable,
    value: `tcp://${variable.toLowerCase()}.example:1234/${app}`,
  })),
  resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { memory: '256Mi' } },
  readinessProbe: { httpGet: { path: '/ready', port: 8080 }, periodSeconds: 5 },
  livenessProbe: { httpGet: { path: '/live', port: 8080 }, periodSeconds: 10 },
});

const since = '2026-01-01T00:00:00Z';

const statusOf = ({ ip, serviceAccount: app }: Placed): object => ({
  phase: 'Running',
  podIP: ip,
  podIPs: [{ ip }],
  hostIP: '172.30.0.99',
  startTime: since,
  qosClass: 'Burstable',
  conditions: ['PodScheduled', 'Initialized', 'ContainersReady', 'Ready'].map((type) => ({
    type,
    status: 'True',
    lastTransitionTime: since,
  })),
  containerStatuses: [
    {
      name: 'server',
      ready: true,
      started: true,
      restartCount: 0,
      image: `registry.example/${app}:1.2.3`,
      imageID: `registry.example/${app}@sha256:${'0123456789abcdef'.repeat(4)}`,
      containerID: `containerd://${'fedcba9876543210'.repeat(4)}`,
      state: { running: { startedAt: since } },
    },
  ],
});
