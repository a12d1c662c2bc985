/** What `install` and `uninstall` do to a cluster, and what they wait for. */
import { setTimeout as sleep } from 'node:timers/promises';
import { asMeshError, MeshError } from '../../base/errors.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import {
  applyObject,
  deleteObject,
  type KubeObject,
  listObjects,
  readObject,
} from '../../kube/client/kube-objects.ts';
import { type ObservedPod, type PodTrouble, troubleOf } from '../../kube/client/pod-trouble.ts';
import { type Resource, resourceOf, resources } from '../../kube/client/resources.ts';
import { isCleaning } from './cleaning.ts';
import type { Manifest } from './kustomize.ts';
import { type RollingObject, rolloutOf } from './rollout.ts';

/** Named to the API server as the owner of the fields it sets. */
const manager = 'mesh-ebpf-install';

export interface Wait {
  readonly timeoutMs: number;
  readonly pollMs?: number;
  /** Hears the state whenever it changes. */
  readonly progress: (line: string) => void;
}

/** `deployment mesh-ebpf-system/mesh-ebpf-controller`. */
export function nameOf({ kind, metadata: { namespace, name } }: Manifest): string {
  return `${kind.toLowerCase()} ${namespace === undefined ? '' : `${namespace}/`}${name}`;
}

/** In order; the first refusal ends it. @throws MeshError */
export async function applyAll(
  client: KubeClient,
  manifests: readonly Manifest[],
  applied: (manifest: Manifest) => void,
): Promise<void> {
  for (const manifest of manifests) {
    await applyObject(client, kindOf(manifest), manifest, { manager });
    applied(manifest);
  }
}

/** Those that are not there; what is there may be somebody else's. @throws MeshError */
export async function createAbsent(
  client: KubeClient,
  manifests: readonly Manifest[],
  created: (manifest: Manifest) => void,
): Promise<void> {
  for (const manifest of manifests) {
    if ((await readObject(client, kindOf(manifest), manifest.metadata)) !== undefined) continue;
    await applyObject(client, kindOf(manifest), manifest, { manager });
    created(manifest);
  }
}

/**
 * An uninstallation that was given up has left the node programs' DaemonSet uninstalling; applied over it, the program
 * would be uninstalled at each start. @throws MeshError TIMEOUT when it does not go
 */
export async function endCleaning(
  client: KubeClient,
  manifests: readonly Manifest[],
  wait: Wait,
): Promise<void> {
  const deadline = performance.now() + wait.timeoutMs;
  for (const { metadata } of manifests.filter(({ kind }) => kind === 'DaemonSet')) {
    const read = (): Promise<Manifest | undefined> => readObject(client, resources.daemonSets, metadata);
    const live = await read();
    if (live === undefined || !isCleaning(live)) continue;
    wait.progress(`daemonset ${metadata.name}: an uninstallation was not finished; putting it in order`);
    await deleteObject(client, resources.daemonSets, metadata);
    while ((await read()) !== undefined) {
      if (performance.now() > deadline)
        throw new MeshError('TIMEOUT', `daemonset ${metadata.name} does not go`);
      await sleep(wait.pollMs ?? 1_000);
    }
  }
}

/** Backwards. True for those that were there. @throws MeshError */
export async function deleteAll(
  client: KubeClient,
  manifests: readonly Manifest[],
  deleted: (manifest: Manifest) => void,
): Promise<void> {
  for (const manifest of manifests.toReversed()) {
    if (await deleteObject(client, kindOf(manifest), manifest.metadata)) deleted(manifest);
  }
}

export const kindOf = ({ apiVersion, kind }: Manifest): Resource => resourceOf(apiVersion, kind);

/** Until all are rolled out. @throws MeshError TIMEOUT saying how far they were and what is wrong with their pods */
export async function rolledOut(
  client: KubeClient,
  manifests: readonly Manifest[],
  wait: Wait,
): Promise<void> {
  const deadline = performance.now() + wait.timeoutMs;
  const rolling = manifests.filter(({ kind }) => kind === 'Deployment' || kind === 'DaemonSet');
  const said = new Map<Manifest, string>();
  for (;;) {
    const states = await Promise.all(rolling.map(async (manifest) => await stateOf(client, manifest)));
    for (const { manifest, line } of states) {
      if (said.get(manifest) !== line) wait.progress(line);
      said.set(manifest, line);
    }
    const open = states.filter(({ done }) => !done);
    if (open.length === 0) return;
    if (performance.now() > deadline) throw await notRolledOut(client, open[0]?.manifest, [...said.values()]);
    await sleep(wait.pollMs ?? 1_000);
  }
}

interface State {
  readonly manifest: Manifest;
  readonly line: string;
  readonly done: boolean;
}

async function stateOf(client: KubeClient, manifest: Manifest): Promise<State> {
  try {
    const live = await readObject<RollingObject>(client, kindOf(manifest), manifest.metadata);
    const { done, state } =
      live === undefined ? { done: false, state: 'not there' } : rolloutOf({ ...live, kind: manifest.kind });
    return { manifest, done, line: `${nameOf(manifest)}: ${state}` };
  } catch (thrown) {
    // The API server may restart while nodes are prepared; only time ends the wait.
    return { manifest, done: false, line: `${nameOf(manifest)}: ${asMeshError(thrown).message}` };
  }
}

async function notRolledOut(
  client: KubeClient,
  manifest: Manifest | undefined,
  lines: readonly string[],
): Promise<MeshError> {
  const namespace = manifest?.metadata.namespace ?? '';
  const troubles = await podTroubles(client, namespace).catch(() => []);
  const [first] = troubles;
  const why = first === undefined ? '' : `; ${first.pod}: ${first.reason}`;
  return new MeshError('TIMEOUT', `it is not done in time: ${lines.join('; ')}${why}`, {
    hint: first?.next ?? `kubectl -n ${namespace} get pods; it goes on by itself`,
  });
}

async function podTroubles(client: KubeClient, namespace: string): Promise<readonly PodTrouble[]> {
  const pods = await listObjects<ObservedPod>(client, resources.pods, {
    namespace,
    labelSelector: 'app.kubernetes.io/part-of=mesh-ebpf',
  });
  return pods.flatMap((pod) => troubleOf(pod) ?? []);
}

/** Objects of one name in all namespaces. */
export const everywhere = async (
  client: KubeClient,
  resource: Resource,
  name: string,
): Promise<readonly KubeObject[]> =>
  await listObjects(client, resource, { fieldSelector: `metadata.name=${name}` });
