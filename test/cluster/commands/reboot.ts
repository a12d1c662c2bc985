/** `reboot`: a node dies at once and comes back with its disk, as after a power failure. */
import { bootNode, crashNode, joinNode } from '../machine/node.ts';
import { findNode, nodesOf } from '../machine/state.ts';
import { step } from '../machine/progress.ts';
import { type ClusterContext, running } from './context.ts';

/**
 * Processes die, `/run` and the BPF file system are empty. Container runtime and kubelet start before anything else, so
 * whatever the kubelet needs of a pod is not there yet.
 */
export async function reboot(context: ClusterContext, node: string): Promise<void> {
  await crash(context, node);
  await boot(context, node);
}

/** The first half: the node is gone until `boot`. */
export async function crash(context: ClusterContext, name: string): Promise<void> {
  const { machine, state } = await running(context);
  const node = findNode(state, name);
  await step(context.progress, `${node.name} dies`, () => crashNode(machine, node));
}

export async function boot(context: ClusterContext, name: string): Promise<void> {
  const { machine, settings, state } = await running(context);
  const node = findNode(state, name);
  await step(context.progress, `${node.name} boots`, async () => {
    await bootNode(machine, settings, node, nodesOf(state));
    await joinNode(machine, settings, node);
  });
}
