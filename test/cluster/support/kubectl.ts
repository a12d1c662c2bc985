/** Where kubectl is: beside the cluster of this machine, or wherever somebody who brings their own has it. */
import { running } from '../commands/context.ts';
import { context, somebodysCluster } from './cluster-under-test.ts';

/** For a PATH; '' when it is there already. */
export async function kubectlDirectory(): Promise<string> {
  return somebodysCluster === undefined ? (await running(context)).machine.bin : '';
}
