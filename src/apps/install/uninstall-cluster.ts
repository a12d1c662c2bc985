/**
 * Takes the mesh out of a cluster: first off every node, proved node by node, and only then its objects. Deleting the
 * DaemonSet alone would leave captured pods whose connections nobody carries any more.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { MeshError } from '../../base/errors.ts';
import type { ClusterUninstallOptions } from '../../cli/env.ts';
import { type ExitCode, exitCodes } from '../../cli/exit-codes.ts';
import { nodeAgentName, trustBundleMap } from '../../controller/kubernetes/names.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { deleteObject, listObjects, readObject, replaceObject } from '../../kube/client/kube-objects.ts';
import { resources } from '../../kube/client/resources.ts';
import { cleaningDaemonSet, isCleaning } from './cleaning.ts';
import { deleteAll, everywhere, kindOf, nameOf, rolledOut } from './cluster.ts';
import type { Manifest } from './kustomize.ts';
import { removeConditions } from './policy-conditions.ts';

export interface UninstallDeps {
  readonly client: KubeClient;
  readonly manifests: readonly Manifest[];
  readonly ask: (question: string) => Promise<string | undefined>;
  /** A line of what was done; a line of what is going on. */
  readonly done: (line: string) => void;
  readonly progress: (line: string) => void;
  readonly pollMs?: number;
}

/** @throws MeshError TIMEOUT when a node could not be cleaned: nothing was deleted then, unless forced */
export async function uninstallCluster(
  deps: UninstallDeps,
  options: ClusterUninstallOptions,
): Promise<ExitCode> {
  const { client, manifests, done, ask } = deps;
  const found = await existing(client, manifests);
  const there = (await isInUse(client, found)) ? found.filter((manifest) => !isDefinition(manifest)) : found;
  if (there.length < found.length) {
    deps.progress('kept: NamespaceAccess objects of yours, and their definition, with which they would go');
  }
  const bundles = await everywhere(client, resources.configMaps, trustBundleMap);
  if (there.length === 0 && bundles.length === 0) {
    deps.progress('nothing of the mesh is in this cluster');
    return exitCodes.clean;
  }
  const daemonSet = there.find(isNodeProgram);
  const steps = [
    ...(daemonSet === undefined ? [] : ['the mesh off every node, verified']),
    ...there.toReversed().map(nameOf),
    ...bundles.map(({ metadata }) => `configmap ${metadata.namespace ?? ''}/${metadata.name}`),
  ];
  if (options.dryRun === true) {
    for (const step of steps) done(`would remove  ${step}`);
    return exitCodes.clean;
  }
  if (options.yes !== true && !isYes(await ask(question(steps)))) {
    deps.progress('nothing was removed');
    return exitCodes.findings;
  }
  if (daemonSet !== undefined) await cleanNodes(deps, daemonSet, options);
  await deleteAll(client, there, (manifest) => done(`removed  ${nameOf(manifest)}`));
  // Last: while a controller ran and might, it would publish them again.
  for (const { metadata } of bundles) {
    if (await deleteObject(client, resources.configMaps, metadata)) {
      done(`removed  configmap ${metadata.namespace ?? ''}/${metadata.name}`);
    }
  }
  const policies = await removeConditions(client);
  if (policies > 0) done(`removed  conditions of the mesh on the status of policies: ${policies}`);
  await whenNamespacesGone(deps, there, options.timeout);
  deps.progress('the labels istio.io/dataplane-mode of your namespaces and pods are still there');
  return exitCodes.clean;
}

/** They go some seconds after what is in them; until then nothing can be installed there again. @throws MeshError TIMEOUT */
async function whenNamespacesGone(
  { client, pollMs }: UninstallDeps,
  there: readonly Manifest[],
  timeoutMs: number,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (const { metadata } of there.filter(({ kind }) => kind === 'Namespace')) {
    while ((await readObject(client, resources.namespaces, metadata)) !== undefined) {
      if (performance.now() > deadline) {
        throw new MeshError('TIMEOUT', `namespace ${metadata.name} is deleted, but does not go`, {
          hint: `kubectl describe namespace ${metadata.name}`,
        });
      }
      await sleep(pollMs ?? 500);
    }
  }
}

/** Where nobody can be asked, the command itself was the answer. */
const isYes = (answer: string | undefined): boolean =>
  answer === undefined || /^y(es)?$/i.test(answer.trim());

const question = (steps: readonly string[]): string =>
  `This removes, with the keys of the certificate authority:\n${steps.map((step) => `  ${step}\n`).join('')}Go on? [y/N] `;

const isDefinition = ({ kind }: Manifest): boolean => kind === 'CustomResourceDefinition';

/** Objects that people wrote go with the definition of their kind. */
async function isInUse(client: KubeClient, found: readonly Manifest[]): Promise<boolean> {
  if (!found.some(isDefinition)) return false;
  return (await listObjects(client, resources.namespaceAccesses, { limit: 1 })).length > 0;
}

const isNodeProgram = ({ kind, metadata }: Manifest): boolean =>
  kind === 'DaemonSet' && metadata.name === nodeAgentName;

async function existing(client: KubeClient, manifests: readonly Manifest[]): Promise<readonly Manifest[]> {
  const found: Manifest[] = [];
  for (const { apiVersion, kind, metadata } of manifests) {
    const live = await readObject<Manifest>(client, kindOf({ apiVersion, kind, metadata }), metadata);
    if (live !== undefined) found.push({ ...live, apiVersion, kind });
  }
  return found;
}

async function cleanNodes(
  { client, done, progress, pollMs }: UninstallDeps,
  daemonSet: Manifest,
  { timeout, force }: ClusterUninstallOptions,
): Promise<void> {
  progress('taking the mesh off every node');
  if (!isCleaning(daemonSet)) {
    await replaceObject(client, resources.daemonSets, cleaningDaemonSet(daemonSet));
  }
  try {
    await rolledOut(client, [daemonSet], {
      timeoutMs: timeout,
      progress,
      ...(pollMs === undefined ? {} : { pollMs }),
    });
    done('removed  the mesh off every node, verified');
  } catch (thrown) {
    if (!(thrown instanceof MeshError) || thrown.code !== 'TIMEOUT') throw thrown;
    if (force !== true) throw notClean(thrown);
    done(`NOT removed  the mesh off every node: ${thrown.message}`);
  }
}

const notClean = (cause: MeshError): MeshError =>
  new MeshError('TIMEOUT', `not every node is clean, so nothing was deleted: ${cause.message}`, {
    hint: `${cause.hint ?? ''}; run it again when the nodes are back, or with --force to leave them as they are`,
    cause,
  });
