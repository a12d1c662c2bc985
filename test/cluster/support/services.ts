/** Pods on nodes of one's choice, and Services of every kind in front of them, as YAML (JSON is). */
import type { V1ServiceSpec } from '@kubernetes/client-node';
import { fortioImage } from '../artifacts/build.ts';
import { aside, type PodSpec } from './workloads.ts';

export interface ServerSpec {
  readonly namespace: string;
  readonly name: string;
  /** The node's name. */
  readonly node: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Where it serves HTTP, under the port name `http`; 8080 unless given. */
  readonly port?: number;
  readonly hostPort?: number;
  readonly account?: string;
  readonly spec?: Partial<PodSpec>;
  readonly container?: Readonly<Record<string, unknown>>;
}

/** An echo server in a pod of its own, without anybody who would replace it. */
export function serverPod({ namespace, name, node, labels, account, spec, ...server }: ServerSpec): object {
  const { port = 8080, hostPort, container } = server;
  const http = { name: 'http', containerPort: port, ...(hostPort === undefined ? {} : { hostPort }) };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels: { app: name, ...labels } },
    spec: {
      terminationGracePeriodSeconds: 1,
      ...(account === undefined ? {} : { serviceAccountName: account }),
      nodeSelector: { 'kubernetes.io/hostname': node },
      containers: [
        {
          name: 'server',
          image: fortioImage,
          imagePullPolicy: 'IfNotPresent',
          args: ['server', '-http-port', String(port), ...aside],
          ports: [http],
          readinessProbe: { httpGet: { path: '/fortio/fortio/ready', port: 'http' }, periodSeconds: 1 },
          ...container,
        },
      ],
      ...spec,
    },
  };
}

/** Port 80 in front of the port named `http`, unless the spec says otherwise. */
export const serviceObject = (
  namespace: string,
  name: string,
  spec: { readonly [Key in keyof V1ServiceSpec]?: V1ServiceSpec[Key] },
): object => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace },
  spec: { ports: [{ name: 'http', port: 80, targetPort: 'http' }], ...spec },
});

/** Endpoints that somebody wrote by hand, of a Service that selects nobody. */
export const sliceObject = (
  namespace: string,
  service: string,
  addresses: readonly string[],
  port: number,
): object => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: `${service}-by-hand`, namespace, labels: { 'kubernetes.io/service-name': service } },
  addressType: addresses[0]?.includes(':') === true ? 'IPv6' : 'IPv4',
  ports: [{ name: 'http', port, protocol: 'TCP' }],
  endpoints: addresses.map((address) => ({ addresses: [address] })),
});

export const namespaceObject = (name: string, mode?: 'ambient'): object => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, ...(mode === undefined ? {} : { labels: { 'istio.io/dataplane-mode': mode } }) },
});
