/** The links between host and nodes, through iproute2. */
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Argv, inNetns } from '../../../src/lab/system/enter.ts';
import { run } from '../../../src/lab/system/run.ts';
import {
  type ClusterNode,
  clusterPrefix,
  fabricNetns,
  hostLink,
  netnsDir,
  nodeNetns,
} from '../plan/layout.ts';
import { bridgeScript, fabricScript, inNodeScript, nodeScript, portScript } from '../plan/network-script.ts';

export async function makeFabric(dualStack: boolean): Promise<void> {
  await ip(fabricScript(dualStack));
  await ip(bridgeScript(), fabricNetns);
}

export async function makeNodeNetwork(
  node: ClusterNode,
  nodes: readonly ClusterNode[],
  dualStack: boolean,
): Promise<void> {
  const netns = nodeNetns(node.name);
  await ip(nodeScript(node, dualStack));
  await ip(portScript(node), fabricNetns);
  await ip(inNodeScript(node, nodes, dualStack), netns);
  await run(inNetns(join(netnsDir, netns), forwarding));
}

/** Pods speak to each other through the node. */
const forwarding: Argv = [
  '/bin/sh',
  '-c',
  'echo 1 | tee /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding',
];

/** The kernel removes a namespace's links some time later; the next node of that name needs the port's name at once. */
export async function deleteNodeNetwork({ name }: ClusterNode): Promise<void> {
  await ip(`link delete ${name}\n`, fabricNetns).catch(() => {});
  await deleteNetns(nodeNetns(name));
}

export async function deleteFabric(): Promise<void> {
  // Before the namespace of its other end: with that, the kernel would remove it some time later.
  if (existsSync(`/sys/class/net/${hostLink}`)) await run(['ip', 'link', 'delete', hostLink]);
  await deleteNetns(fabricNetns);
}

async function deleteNetns(name: string): Promise<void> {
  if (existsSync(join(netnsDir, name))) await run(['ip', 'netns', 'delete', name]);
}

/** Names of all namespaces that carry the cluster's prefix. */
export async function clusterNamespaces(): Promise<readonly string[]> {
  const names = await readdir(netnsDir).catch(() => []);
  return names.filter((name) => name.startsWith(`${clusterPrefix}-`));
}

async function ip(script: string, netns?: string): Promise<void> {
  const argv = ['ip', '-batch', '-'] as const;
  await run(netns === undefined ? argv : inNetns(join(netnsDir, netns), argv), { input: script });
}
