/** What every command is given. */
import type { Cache } from '../artifacts/cache.ts';
import { defaultCache } from '../artifacts/cache.ts';
import { cgroupTrees } from '../machine/cgroups.ts';
import type { Machine } from '../machine/daemons.ts';
import type { Progress } from '../machine/progress.ts';
import { type ClusterState, requireCluster } from '../machine/state.ts';
import type { DaemonSettings } from '../plan/daemons.ts';
import { type ClusterLayout, clusterLayout } from '../plan/layout.ts';

export interface ClusterContext {
  readonly layout: ClusterLayout;
  readonly cache: Cache;
  readonly progress: Progress;
}

export const createContext = (progress: Progress): ClusterContext => ({
  layout: clusterLayout(),
  cache: defaultCache(),
  progress,
});

/** A cluster that is up, and what is needed to act on it. */
export interface Running {
  readonly state: ClusterState;
  readonly machine: Machine;
  readonly settings: DaemonSettings;
}

export async function running({ layout }: ClusterContext): Promise<Running> {
  return handles(layout, await requireCluster(layout));
}

export async function handles(layout: ClusterLayout, state: ClusterState): Promise<Running> {
  const { bin, nodeCount, proxyMode, dualStack } = state;
  const machine = { layout, trees: await cgroupTrees(), bin };
  return { state, machine, settings: { layout, bin, nodeCount, proxyMode, dualStack } };
}
