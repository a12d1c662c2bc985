/** `status`: what there is of the cluster, without asking it to be well. */
import { findProcess, initRecord } from '../machine/daemons.ts';
import { nodesOf, readState } from '../machine/state.ts';
import { allDaemons } from '../plan/daemons.ts';
import { type ClusterContext, handles } from './context.ts';

export interface DaemonStatus {
  readonly name: string;
  /** In the host's process namespace; undefined when it does not run. */
  readonly pid: number | undefined;
}

export interface ClusterStatus {
  readonly complete: boolean;
  readonly kubeconfig: string;
  readonly nodes: readonly string[];
  readonly daemons: readonly DaemonStatus[];
}

/** Undefined when there is no cluster. */
export async function status({ layout }: ClusterContext): Promise<ClusterStatus | undefined> {
  const state = await readState(layout);
  if (state === undefined) return undefined;
  const { settings } = await handles(layout, state);
  const nodes = nodesOf(state);
  const names = [...allDaemons(settings).map(({ name }) => name), ...nodes.map(initRecord)];
  const daemons = await Promise.all(
    names.map(async (name) => ({ name, pid: (await findProcess(layout, name))?.pid })),
  );
  return {
    complete: state.complete,
    kubeconfig: layout.adminKubeconfig,
    nodes: nodes.map(({ name }) => name),
    daemons,
  };
}
