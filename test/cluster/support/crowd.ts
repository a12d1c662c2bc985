/** Pods that are API objects only, on nodes that do not exist: a large cluster, as its node programs see it. */
import type { Stored } from './etcd-writer.ts';

export interface Crowd {
  readonly namespace: string;
  readonly pods: number;
}

const podsPerNode = 30;

const nameOf = (i: number): string => `crowd-${i}`;
const addressOf = (i: number): string => `10.${192 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`;

const numbers = ({ pods }: Crowd): readonly number[] => Array.from({ length: pods }, (_, i) => i);

/** In a namespace that exists. */
export const crowdObjects = (crowd: Crowd): readonly Stored[] =>
  numbers(crowd).map((i) => ({ key: `${crowdKey(crowd)}/${nameOf(i)}`, object: podOf(crowd, i) }));

/** What all of them have before their names. */
const crowdKey = ({ namespace }: Crowd): string => `pods/${namespace}`;

const podOf = ({ namespace }: Crowd, i: number): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: nameOf(i),
    namespace,
    uid: `0c0e1c1e-54a6-4a52-9a0f-${String(i).padStart(12, '0')}`,
    creationTimestamp: new Date().toISOString().replace(/\.\d+/, ''),
    labels: { app: 'crowd' },
  },
  spec: {
    nodeName: `crowd-node-${Math.floor(i / podsPerNode)}`,
    serviceAccountName: 'default',
    restartPolicy: 'Always',
    dnsPolicy: 'Default',
    schedulerName: 'default-scheduler',
    terminationGracePeriodSeconds: 1,
    containers: [{ name: 'nobody', image: 'nowhere.example/nothing:1' }],
  },
  status: { phase: 'Running', podIP: addressOf(i), podIPs: [{ ip: addressOf(i) }] },
});
