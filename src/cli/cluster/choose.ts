/** Which nodes a command is about when it does not say: this machine's, if it has any, else those of a cluster. */
import type { CliEnv, Cluster, ClusterChoice } from '../env.ts';

/** Whether flags say that it is a cluster. */
export const namesCluster = ({ kubeconfig, context }: ClusterChoice): boolean =>
  kubeconfig !== undefined || context !== undefined;

/** Undefined: this machine. `isLocal`: whether there is anything of the mesh on it. @throws MeshError */
export async function chooseCluster(
  env: CliEnv,
  choice: ClusterChoice,
  isLocal: () => Promise<boolean>,
): Promise<Cluster | undefined> {
  if (!namesCluster(choice) && (await isLocal())) return undefined;
  return await env.openCluster(choice);
}
