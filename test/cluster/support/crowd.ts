/** Pods that are API objects only, on nodes that do not exist: a large cluster, as its node programs see it. */
import type { Call } from './bulk-api.ts';

export interface Crowd {
  readonly namespace: string;
  readonly pods: number;
}

const podsPerNode = 30;

const nameOf = (i: number): string => `crowd-${i}`;
const addressOf = (i: number): string => `10.${192 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`;

const numbers = ({ pods }: Crowd): readonly number[] => Array.from({ length: pods }, (_, i) => i);

/** In steps, in a namespace that exists: each pod is made, then runs. Nobody else takes them for pods to start. */
export const crowdCalls = (crowd: Crowd): readonly (readonly Call[])[] => [
  numbers(crowd).map((i) => ({ method: 'POST', path: pathOf(crowd), body: podOf(crowd, i) })),
  numbers(crowd).map((i) => ({
    method: 'PATCH',
    path: `${pathOf(crowd)}/${nameOf(i)}/status`,
    body: { status: { phase: 'Running', podIP: addressOf(i), podIPs: [{ ip: addressOf(i) }] } },
  })),
];

/** All at once. */
export const disperse = (crowd: Crowd): Call => ({
  method: 'DELETE',
  path: pathOf(crowd),
  body: { apiVersion: 'v1', kind: 'DeleteOptions', gracePeriodSeconds: 0 },
});

const pathOf = ({ namespace }: Crowd): string => `/api/v1/namespaces/${namespace}/pods`;

const podOf = ({ namespace }: Crowd, i: number): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: nameOf(i), namespace, labels: { app: 'crowd' } },
  spec: {
    nodeName: `crowd-node-${Math.floor(i / podsPerNode)}`,
    automountServiceAccountToken: false,
    containers: [{ name: 'nobody', image: 'nowhere.example/nothing:1' }],
  },
});
