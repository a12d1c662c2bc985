/**
 * The cluster that scenarios run on: one of somebody's choice (MESH_EBPF_KUBECONFIG), the one that is up on this
 * machine, or one that is started now and ended after the last scenario.
 */
import { createContext } from '../commands/context.ts';
import { down } from '../commands/down.ts';
import { up, type UpOptions } from '../commands/up.ts';
import { readState } from '../machine/state.ts';
import { MeshError } from '../../../src/base/errors.ts';
import { ClusterApi } from './api.ts';

/** Progress goes to the log of the run: shown with V=1 and when a scenario fails. */
export const context = createContext((line) => process.stderr.write(`  cluster  ${line}\n`));

const testCluster: UpOptions = { owner: 'tests', nodeCount: 2, proxyMode: 'nftables' };

export async function clusterUnderTest(): Promise<ClusterApi> {
  const chosen = process.env['MESH_EBPF_KUBECONFIG'];
  if (chosen !== undefined) return ClusterApi.fromFile(chosen);
  if ((await readState(context.layout))?.complete !== true) await up(context, testCluster);
  return ClusterApi.fromFile(context.layout.adminKubeconfig);
}

/** A cluster of the scenario's own, with nothing in it. @throws MeshError ALREADY_EXISTS when somebody uses theirs */
export async function freshCluster(options: Partial<UpOptions> = {}): Promise<ClusterApi> {
  await endOwnCluster();
  await up(context, { ...testCluster, ...options });
  return ClusterApi.fromFile(context.layout.adminKubeconfig);
}

/** Ends the cluster if the tests started it. */
export async function endOwnCluster(): Promise<void> {
  const state = await readState(context.layout);
  if (state === undefined) return;
  if (state.owner === 'person') {
    throw new MeshError('ALREADY_EXISTS', 'a cluster is up that is not the tests’', {
      hint: 'make cluster-down',
    });
  }
  await down(context);
}
