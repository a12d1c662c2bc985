/** The kinds of pods that Kubernetes has, each with fortio in it, as YAML (JSON is). */
import type { V1Container, V1PodSpec, V1Probe } from '@kubernetes/client-node';
import { fortioImage } from '../artifacts/build.ts';
import { ports } from './fortio.ts';

/** Their fields: the client's types are classes, and these are plain objects. */
type Fields<T> = { readonly [Key in keyof T]: T[Key] };
type Container = Fields<V1Container>;
export type PodSpec = Fields<V1PodSpec>;
type Probe = Fields<V1Probe>;

const fortio = (name: string, args: readonly string[], more: Partial<Container> = {}): Container => ({
  name,
  image: fortioImage,
  imagePullPolicy: 'IfNotPresent',
  args: [...args],
  ...more,
});

export const documents = (...objects: readonly object[]): string =>
  objects.map((object) => JSON.stringify(object)).join('\n---\n');

const pod = (spec: PodSpec): PodSpec => ({ terminationGracePeriodSeconds: 1, ...spec });

const deployment = (
  namespace: string,
  name: string,
  labels: Readonly<Record<string, string>>,
  spec: PodSpec,
): object => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name, namespace },
  spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: pod(spec) } },
});

const probes: Readonly<Record<string, Probe>> = {
  http: { httpGet: { path: '/fortio/fortio/ready', port: ports.http } },
  tcp: { tcpSocket: { port: ports.tcp } },
  grpc: { grpc: { port: ports.grpc } },
  exec: { exec: { command: ['/usr/bin/fortio', 'version'] } },
};

/** One pod for each kind of probe, labelled `probe`: ready by it, and restarted at its first failure. */
export function probedManifest(namespace: string): string {
  const closed: Probe = { tcpSocket: { port: 9999 }, periodSeconds: 1 };
  const probed = (kind: string, more: Partial<Container>): object =>
    deployment(
      namespace,
      `probed-${kind}`,
      { app: 'probed', probe: kind },
      {
        containers: [fortio('server', ['server'], more)],
      },
    );
  return documents(
    ...Object.entries(probes).map(([kind, probe]) => {
      const startupProbe = { ...probe, periodSeconds: 1, failureThreshold: 60 };
      const often = { ...probe, periodSeconds: 1, timeoutSeconds: 10, failureThreshold: 1 };
      return probed(kind, { startupProbe, readinessProbe: often, livenessProbe: often });
    }),
    probed('closed', { readinessProbe: closed }),
  );
}

/** Of fortio's servers only the one for HTTP, so that two of them fit into one network namespace. */
export const aside = [
  '-grpc-port',
  'disabled',
  '-tcp-port',
  'disabled',
  '-udp-port',
  'disabled',
  '-redirect-port',
  'disabled',
];

/** A pod whose init container calls `url`, with two servers; and a Service with a port for each, the second by name. */
export const twoContainersManifest = (namespace: string, url: string): string =>
  documents(
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'two', namespace },
      spec: {
        selector: { app: 'two' },
        ports: [
          { name: 'first', port: 80, targetPort: ports.http },
          { name: 'second', port: 81, targetPort: 'other' },
        ],
      },
    },
    deployment(
      namespace,
      'two',
      { app: 'two' },
      {
        initContainers: [fortio('ask', ['curl', '-quiet', '-payload', 'from-init', url])],
        containers: [
          fortio('first', ['server']),
          fortio('second', ['server', '-http-port', '9090', ...aside], {
            ports: [{ name: 'other', containerPort: 9090 }],
            readinessProbe: { httpGet: { path: '/fortio/fortio/ready', port: 'other' }, periodSeconds: 1 },
          }),
        ],
      },
    ),
  );

/** A pod with a native sidecar: an init container that goes on, and serves, while the one after it calls `url`. */
export const sidecarManifest = (namespace: string, url: string): string =>
  documents(
    deployment(
      namespace,
      'assisted',
      { app: 'assisted' },
      {
        initContainers: [
          fortio('sidecar', ['server', '-http-port', '9090', ...aside], {
            restartPolicy: 'Always',
            startupProbe: { httpGet: { path: '/fortio/fortio/ready', port: 9090 }, periodSeconds: 1 },
          }),
          fortio('ask', ['curl', '-quiet', '-payload', 'beside-sidecar', url]),
        ],
        containers: [fortio('server', ['server'])],
      },
    ),
  );

/** A pod that is never running: its init container serves and does not end. */
export const initializingManifest = (namespace: string, nodeName: string): string =>
  documents({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'initializing', namespace },
    spec: pod({
      nodeName,
      initContainers: [fortio('serve', ['server'])],
      containers: [fortio('never', ['version'])],
    }),
  });

export const jobManifest = (namespace: string, url: string): string =>
  documents({
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: 'work', namespace },
    spec: {
      backoffLimit: 0,
      template: {
        spec: pod({
          restartPolicy: 'Never',
          containers: [fortio('work', ['load', '-quiet', '-n', '5', '-c', '1', url])],
        }),
      },
    },
  });

export const statefulManifest = (namespace: string): string =>
  documents(
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'db', namespace },
      spec: { clusterIP: 'None', selector: { app: 'db' }, ports: [{ name: 'http', port: ports.http }] },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: { name: 'db', namespace },
      spec: {
        serviceName: 'db',
        replicas: 2,
        selector: { matchLabels: { app: 'db' } },
        template: {
          metadata: { labels: { app: 'db' } },
          spec: pod({ containers: [fortio('db', ['server'])] }),
        },
      },
    },
  );

/** A pod that listens on the port at which the mesh receives its tunnels. */
export const squatterManifest = (namespace: string): string =>
  documents(
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
    deployment(
      namespace,
      'squatter',
      { app: 'squatter' },
      {
        containers: [fortio('server', ['server', '-http-port', '15008', ...aside])],
      },
    ),
  );
