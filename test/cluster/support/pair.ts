/** Two applications on two nodes, each under a service account and a Service of its own: `web` calls `cart`. */
import { fortioImage } from '../artifacts/build.ts';
import type { ClusterApi } from './api.ts';
import type { PodRef } from './pod-exec.ts';
import { server } from './servers.ts';

export interface Pair {
  readonly web: PodRef & { readonly node: string };
  readonly cart: PodRef & { readonly node: string };
}

export interface PairOptions {
  /** The namespace is labelled from the start. */
  readonly mode?: 'ambient';
  /** Each of the two keeps calling the other from its start on, with this text, 5 times a second. */
  readonly says?: string;
}

export function pairManifest(namespace: string, { mode, says }: PairOptions = {}): string {
  const labels = mode === undefined ? {} : { labels: { 'istio.io/dataplane-mode': mode } };
  return [
    JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, ...labels } }),
    application(namespace, 'web', says === undefined ? [] : [talker('cart', says)]),
    application(namespace, 'cart', says === undefined ? [] : [talker('web', says)]),
  ].join('\n---\n');
}

const application = (namespace: string, name: string, more: readonly object[]): string => `
apiVersion: v1
kind: ServiceAccount
metadata: { name: ${name}, namespace: ${namespace} }
---
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: ${namespace} }
spec:
  selector: { app: ${name} }
  ports: [{ port: 80, targetPort: http }]
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name}, namespace: ${namespace} }
spec:
  selector: { matchLabels: { app: ${name} } }
  template:
    metadata: { labels: { app: ${name}, pair: one-of-two } }
    spec:
      serviceAccountName: ${name}
      terminationGracePeriodSeconds: 1
      affinity:
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
            - topologyKey: kubernetes.io/hostname
              labelSelector: { matchLabels: { pair: one-of-two } }
      containers: ${JSON.stringify([server, ...more])}
`;

/** Until it is ended; a server that is not there (yet) does not end it. */
const talker = (to: string, text: string): object => ({
  name: 'talker',
  image: fortioImage,
  imagePullPolicy: 'IfNotPresent',
  args: [
    'load',
    '-quiet',
    '-t',
    '0',
    '-qps',
    '5',
    '-c',
    '1',
    '-allow-initial-errors',
    '-payload',
    text,
    `http://${to}/`,
  ],
});

export async function whenPairReady(api: ClusterApi, namespace: string): Promise<Pair> {
  const find = async (name: string): Promise<Pair['web']> => {
    const [pod] = await api.whenPodsReady(namespace, `app=${name}`, 1);
    return { namespace, name: pod?.metadata?.name ?? '', node: pod?.spec?.nodeName ?? '' };
  };
  return { web: await find('web'), cart: await find('cart') };
}
