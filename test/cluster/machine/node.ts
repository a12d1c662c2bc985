/** One node: its namespaces, its disk, its daemons. A node ends with its process 1, and everything on it does. */
import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { MeshError } from '../../../src/base/errors.ts';
import { killCgroup } from '../../../src/lab/system/cgroup.ts';
import { type Argv, inCgroup, inNetns } from '../../../src/lab/system/enter.ts';
import { isAlive, type ProcessRef, signalProcess } from '../../../src/lab/system/process.ts';
import { type DaemonSettings, nodeDaemons } from '../plan/daemons.ts';
import {
  type ClusterLayout,
  type ClusterNode,
  netnsDir,
  nodeCgroup,
  nodeDirectories,
  nodeNetns,
  systemCgroup,
} from '../plan/layout.ts';
import {
  cniConfig,
  containerdConfig,
  containerdSocket,
  kubeletConfig,
  resolvConf,
} from '../plan/node-files.ts';
import { makeNodeCgroups, removeNodeCgroups } from './cgroups.ts';
import {
  childrenOf,
  endedError,
  environment,
  findProcess,
  initRecord,
  inNode,
  type Machine,
  record,
  startDaemon,
  startRecorded,
  whenGone,
} from './daemons.ts';
import { exec, execOk } from './exec.ts';
import { deleteNodeNetwork, makeNodeNetwork } from './network.ts';

const bootTimeoutMs = 30_000;

/** What is on the node's disk before it boots for the first time. */
export async function writeDisk({ layout, dualStack }: DaemonSettings, node: ClusterNode): Promise<void> {
  const paths = layout.node(node);
  for (const directory of nodeDirectories) await mkdir(paths.disk(directory), { recursive: true });
  // Debian's place for the plugins is not the one that everybody installs to.
  await cp('/usr/lib/cni', paths.disk('/opt/cni/bin'), { recursive: true });
  await writeFile(paths.disk('/etc/cni/net.d', '10-mesh-cluster.conflist'), cniConfig(node, dualStack));
  await writeFile(paths.containerdConfig, containerdConfig());
  await writeFile(paths.kubeletConfig, kubeletConfig(layout, node));
  await writeFile(paths.resolvConf, resolvConf());
}

/** A node with nothing but its process 1. */
export async function startNode(
  machine: Machine,
  settings: DaemonSettings,
  node: ClusterNode,
  nodes: readonly ClusterNode[],
): Promise<void> {
  await makeNodeNetwork(node, nodes, settings.dualStack);
  await makeNodeCgroups(machine.trees, node);
  await startInit(machine, node);
}

/** Boots a node and starts its container runtime: then it can be given images. */
export async function bootNode(
  machine: Machine,
  settings: DaemonSettings,
  node: ClusterNode,
  nodes: readonly ClusterNode[],
): Promise<void> {
  await startNode(machine, settings, node, nodes);
  const [containerd] = nodeDaemons(settings, node);
  if (containerd !== undefined) await startDaemon(machine, containerd);
  await whenRuntimeAnswers(machine, node);
}

/** The rest of its daemons: from now on it is a member of the cluster. */
export async function joinNode(machine: Machine, settings: DaemonSettings, node: ClusterNode): Promise<void> {
  for (const daemon of nodeDaemons(settings, node).slice(1)) await startDaemon(machine, daemon);
}

const newNamespaces: Argv = [
  'unshare',
  '--mount',
  // What the host mounts shows up here, not the other way round.
  '--propagation=slave',
  '--uts',
  '--pid',
  '--fork',
  '--mount-proc',
];

/** What we start stays outside, in the host's process namespace; its only child is the node's process 1. */
async function startInit({ layout, trees, bin }: Machine, node: ClusterNode): Promise<void> {
  const { dir, booted } = layout.node(node);
  await rm(booted, { force: true });
  const script = join(import.meta.dirname, '..', 'guest', 'node-init.sh');
  const netns = join(netnsDir, nodeNetns(node.name));
  const argv = inNetns(netns, [
    ...newNamespaces,
    script,
    node.name,
    dir,
    join(bin, 'pause'),
    ...nodeDirectories,
  ]);
  const name = initRecord(node);
  const outer = await startRecorded(layout, name, inCgroup(systemCgroup(trees.v2, node), argv), bin);
  await whenBooted(layout, node, outer);
  const [init] = childrenOf(outer);
  if (init === undefined) throw endedError(layout, name);
  await record(layout, name, init);
}

async function whenBooted(layout: ClusterLayout, node: ClusterNode, outer: ProcessRef): Promise<void> {
  const deadline = performance.now() + bootTimeoutMs;
  while (!existsSync(layout.node(node).booted)) {
    if (!isAlive(outer)) throw endedError(layout, initRecord(node));
    if (performance.now() > deadline) throw lateError(layout, node, 'boot', initRecord(node));
    await delay(20);
  }
}

async function whenRuntimeAnswers(machine: Machine, node: ClusterNode): Promise<void> {
  const deadline = performance.now() + bootTimeoutMs;
  while ((await runOnNode(machine, node, ctr('version'))).code !== 0) {
    const name = `containerd@${node.name}`;
    if ((await findProcess(machine.layout, name)) === undefined) throw endedError(machine.layout, name);
    if (performance.now() > deadline) throw lateError(machine.layout, node, 'answer', name);
    await delay(100);
  }
}

const lateError = (layout: ClusterLayout, node: ClusterNode, what: string, log: string): MeshError =>
  new MeshError('TIMEOUT', `${node.name} did not ${what} in ${bootTimeoutMs / 1000} s`, {
    hint: `see ${layout.log(log)}`,
  });

const ctr = (...args: readonly string[]): Argv => ['ctr', '--address', containerdSocket, ...args];

/** Runs a command as on the node: in its namespaces and its cgroup, so it ends with the node. */
export const commandOnNode = async (
  { layout, trees }: Machine,
  node: ClusterNode,
  argv: Argv,
): Promise<Argv> => inCgroup(systemCgroup(trees.v2, node), await inNode(layout, node, argv));

export async function runOnNode(machine: Machine, node: ClusterNode, argv: Argv) {
  return exec(await commandOnNode(machine, node, argv), { env: environment(machine.bin) });
}

/** @throws MeshError SYSCALL when the archive is none */
export async function loadImage(machine: Machine, node: ClusterNode, archive: string): Promise<void> {
  const argv = ctr('--namespace', 'k8s.io', 'images', 'import', archive);
  await execOk(await commandOnNode(machine, node, argv), { env: environment(machine.bin) });
}

/** Everything of the node dies at once, as at a power failure; its disk stays. */
export async function crashNode({ layout, trees }: Machine, node: ClusterNode): Promise<void> {
  const init = await findProcess(layout, initRecord(node));
  if (init !== undefined) signalProcess(init, 'SIGKILL');
  await killCgroup(nodeCgroup(trees.v2, node));
  if (init !== undefined && !(await whenGone([init], bootTimeoutMs))) {
    throw new MeshError('TIMEOUT', `${node.name} does not end: process ${init.pid} is still there`);
  }
  await deleteNodeNetwork(node);
  await removeNodeCgroups(trees, node);
}
