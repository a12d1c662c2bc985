/** Deployments of fortio's server, each with a Service of its name: what is restarted, labelled or called under load. Pure. */
import { fortioImage } from '../artifacts/build.ts';
import { ports } from './fortio.ts';

export interface ServerOptions {
  readonly replicas: number;
  /** The node's host name; absent: wherever the scheduler puts them. */
  readonly node?: string;
  /** How long a pod that ends goes on serving while the news of it spreads; 0 or absent: it ends at once. */
  readonly preStopSeconds?: number;
}

export function serverManifest(namespace: string, name: string, options: ServerOptions): string {
  const { replicas, node, preStopSeconds = 0 } = options;
  const pod = {
    terminationGracePeriodSeconds: preStopSeconds + 1,
    ...(node === undefined ? {} : { nodeSelector: { 'kubernetes.io/hostname': node } }),
    containers: [preStopSeconds === 0 ? server : { ...server, lifecycle: pause(preStopSeconds) }],
  };
  return `
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name}, namespace: ${namespace} }
spec:
  replicas: ${replicas}
  selector: { matchLabels: { app: ${name} } }
  template:
    metadata: { labels: { app: ${name} } }
    spec: ${JSON.stringify(pod)}
---
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: ${namespace} }
spec:
  selector: { app: ${name} }
  ports: [{ name: http, port: 80, targetPort: http }]
`;
}

const pause = (seconds: number): object => ({ preStop: { sleep: { seconds } } });

/** A container. */
export const server = {
  name: 'server',
  image: fortioImage,
  imagePullPolicy: 'IfNotPresent',
  args: ['server'],
  ports: [{ name: 'http', containerPort: ports.http }],
  readinessProbe: { httpGet: { path: '/fortio/fortio/ready', port: 'http' }, periodSeconds: 1 },
};
