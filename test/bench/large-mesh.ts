/**
 * A large mesh around the lab: 1 000 policies and 10 000 workloads of nodes that do not exist, as files in the lab's
 * directory of objects. Some of the policies are for the measured pods, too.
 */
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { cli, layout, type Reporting } from './lab.ts';
import { enrolledNamespace, sharedNode } from './manifest.ts';
import { output } from './process.ts';

export const largeMesh = { policies: 1000, workloads: 10_000 } as const;
/** Policies of the measured pods' namespace, which they have to get past. */
const ownPolicies = 10;
const perFile = 500;
const namespaceName = 'bench-far';
const patienceMs = 180_000;
/** What is in the maps may be so before all that was changed is looked at. */
const settleMs = 10_000;

/** @throws Error if the node does not take it in in time */
export async function enlarge({ progress, signal }: Reporting): Promise<AsyncDisposable> {
  progress(`a mesh of ${largeMesh.policies} policies and ${largeMesh.workloads} workloads`);
  const files = largeFiles().map((text, i) => {
    const file = join(layout.objects, `bench-large-${i}.yaml`);
    putWhole(text, file);
    return file;
  });
  await whenKnown(signal);
  return {
    [Symbol.asyncDispose]: async () => {
      for (const file of files) rmSync(file, { force: true });
      await Promise.resolve();
    },
  };
}

/** Readers are to see whole files. */
function putWhole(text: string, to: string): void {
  const beside = `${to}.part`;
  writeFileSync(beside, text);
  renameSync(beside, to);
}

async function whenKnown(signal: AbortSignal): Promise<void> {
  const ask = [cli, 'maps', 'list', '--node', sharedNode, '-o', 'json'] as const;
  for (const deadline = Date.now() + patienceMs; ;) {
    const { items } = JSON.parse(await output(ask, 30_000, signal)) as {
      items: { name: string; entries?: number }[];
    };
    const entries = items.find(({ name }) => name === 'destinations')?.entries ?? 0;
    if (entries >= largeMesh.workloads) break;
    if (Date.now() > deadline) throw new Error(`of the large mesh ${entries} destinations are known only`);
    await delay(1000, undefined, { signal });
  }
  await delay(settleMs, undefined, { signal });
}

/** Policies first: whoever sees the workloads has them. Pure. */
export function largeFiles(): readonly string[] {
  const objects = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespaceName, labels } },
    ...Array.from({ length: largeMesh.policies }, (_, i) => policy(i)),
    ...Array.from({ length: largeMesh.workloads }, (_, i) => workload(i)),
  ].map((object) => JSON.stringify(object));
  return Array.from({ length: Math.ceil(objects.length / perFile) }, (_, i) =>
    objects.slice(i * perFile, (i + 1) * perFile).join('\n---\n'),
  );
}

const labels = { 'istio.io/dataplane-mode': 'ambient' };

const policy = (i: number): object => ({
  apiVersion: 'security.istio.io/v1',
  kind: 'AuthorizationPolicy',
  metadata: { name: `large-${i}`, namespace: i < ownPolicies ? enrolledNamespace : namespaceName },
  spec: {
    action: 'ALLOW',
    ...(i >= ownPolicies && { selector: { matchLabels: { app: `app-${i % 500}` } } }),
    rules: [{ from: [{ source: { namespaces: [i < ownPolicies ? enrolledNamespace : `caller-${i}`] } }] }],
  },
});

const workload = (i: number): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: `far-${i}`,
    namespace: namespaceName,
    uid: `bench-far-${i}`,
    labels: { app: `app-${i % 500}` },
  },
  spec: { nodeName: `far-${i % 300}`, serviceAccountName: 'default', containers: [{ name: 'far' }] },
  status: { phase: 'Running', podIP: address(i), podIPs: [{ ip: address(i) }] },
});

const address = (i: number): string => `10.${200 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`;
