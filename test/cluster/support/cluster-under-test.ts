/**
 * The cluster that scenarios run on: one of somebody's choice (MESH_EBPF_KUBECONFIG), the one that is up on this
 * machine, or one that is started now and ended after the last scenario.
 */
import { createContext } from '../commands/context.ts';
import { down } from '../commands/down.ts';
import { up, type UpOptions } from '../commands/up.ts';
import { type ClusterState, readState } from '../machine/state.ts';
import { MeshError } from '../../../src/base/errors.ts';
import { isAlive } from '../../../src/lab/system/process.ts';
import { ClusterApi } from './api.ts';
import { eventually } from './eventually.ts';

/** Progress goes to the log of the run: shown with V=1 and when a scenario fails. */
export const context = createContext((line) => process.stderr.write(`  cluster  ${line}\n`));

const testCluster: UpOptions = { owner: 'tests', nodeCount: 2, proxyMode: 'nftables', dualStack: false };

/** Kubeconfig of the cluster that somebody chose; undefined: it is this machine's. */
export const somebodysCluster = process.env['MESH_EBPF_KUBECONFIG'];

export const kubeconfigUnderTest = (): string => somebodysCluster ?? context.layout.adminKubeconfig;

export async function clusterUnderTest(): Promise<ClusterApi> {
  if (somebodysCluster !== undefined) return ClusterApi.fromFile(somebodysCluster);
  const state = await whenOthersEnded();
  if (state?.complete !== true) {
    await endOwnCluster();
    await up(context, testCluster);
  }
  return ClusterApi.fromFile(context.layout.adminKubeconfig);
}

/** A cluster of the scenario's own, with nothing in it. @throws MeshError ALREADY_EXISTS when somebody uses theirs */
export async function freshCluster(options: Partial<UpOptions> = {}): Promise<ClusterApi> {
  await endOwnCluster();
  await up(context, { ...testCluster, ...options });
  return ClusterApi.fromFile(context.layout.adminKubeconfig);
}

/** Ends the cluster that tests started: ours, or one that was left behind. @throws MeshError ALREADY_EXISTS for a person's */
export async function endOwnCluster(): Promise<void> {
  const state = await whenOthersEnded();
  if (state === undefined) return;
  if (state.owner === 'tests') return void (await down(context));
  throw new MeshError(
    'ALREADY_EXISTS',
    'a cluster is up that somebody started, and these scenarios need one of their own; end it: make cluster-down',
  );
}

const othersTimeoutMs = 10 * 60_000;

/** Waits while other tests that still run use theirs. What is there then; undefined when there is none. */
async function whenOthersEnded(): Promise<ClusterState | undefined> {
  return eventually(
    'no other tests use the cluster of this machine',
    () => readState(context.layout),
    (state) => state?.owner !== 'tests' || state.starter.pid === process.pid || !isAlive(state.starter),
    othersTimeoutMs,
  );
}
