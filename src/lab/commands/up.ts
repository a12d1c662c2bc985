/** `lab up`: makes nodes and what connects them, starts a kubelet on each, and hands them the first objects. */
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MeshError } from '../../base/errors.ts';
import type { SourcedObject } from '../../kube/objects.ts';
import { claimLab, newLabState, nodesOf, writeLabState } from '../lab-file.ts';
import type { LabState } from '../lab-file.ts';
import { bpffs, fabricNetns, labCgroup, nodeCgroups, nodeNetns } from '../layout.ts';
import { findKeeperProgram } from '../../native/keeper-program.ts';
import { initialObjects } from '../plan/initial-objects.ts';
import { bridgeScript, fabricScript, nodeScript } from '../plan/network-script.ts';
import { mountBpffs } from '../system/bpffs.ts';
import { findCgroup2, makeCgroup, processesIn } from '../system/cgroup.ts';
import { checkHost } from '../system/host-check.ts';
import { labNamespaces, runIpScript } from '../system/netns.ts';
import { ObjectStore } from '../system/object-store.ts';
import { labNodes, maxNodes } from '../topology.ts';
import { applyManifests, readManifests } from './apply.ts';
import type { LabContext } from './context.ts';
import { tearDown } from './down.ts';
import { waitForPods } from './pods-ready.ts';
import { startKubelets } from './start-kubelets.ts';
import { writeTokens } from './tokens.ts';

export interface UpOptions {
  /** Manifest files and directories; none for an empty lab. */
  readonly files: readonly string[];
  readonly nodes: number;
  /** Run the mesh on it. */
  readonly mesh: boolean;
  /** Of the workloads' certificates. */
  readonly certificateLifetimeMs?: number | undefined;
  /** How pods of a node reach each other; undefined: as the node program has it. */
  readonly sameNode?: string | undefined;
  /** Which of these connections go from socket to socket; undefined: as the node program has it. */
  readonly accelerate?: string | undefined;
  /** A fault to try: by node, how far the clock of its mesh programs is wrong, in milliseconds. */
  readonly clockOffsets?: Readonly<Record<string, number>>;
  /** How long to wait until all pods are ready; undefined: do not wait. */
  readonly waitMs: number | undefined;
}

/** @throws MeshError ALREADY_EXISTS when there is a lab or something left of one. A failed start is undone. */
export async function labUp(context: LabContext, options: UpOptions): Promise<void> {
  checkHost(options.clockOffsets === undefined ? {} : { faketime: 'faketime' });
  checkNodes(options);
  if (options.mesh) findKeeperProgram();
  const manifests = await readManifests(options.files);
  const cgroup2 = await findCgroup2();
  const state = initialState(context, options, cgroup2);
  await claimLab(context.layout, state);
  await refuseLeftovers(context, cgroup2);
  try {
    await build(context, state, manifests, options.waitMs);
  } catch (error) {
    await tearDown(context);
    throw error;
  }
  if (options.waitMs !== undefined) await waitForPods(context, options.waitMs);
}

function checkNodes({ nodes, clockOffsets = {} }: UpOptions): void {
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > maxNodes) {
    throw new MeshError('INVALID_ARGUMENT', `a lab has 1 to ${maxNodes} nodes`);
  }
  const names = labNodes(nodes).map(({ name }) => name);
  const unknown = Object.keys(clockOffsets).find((name) => !names.includes(name));
  if (unknown === undefined) return;
  throw new MeshError('INVALID_ARGUMENT', `there is no node "${unknown}"`, {
    hint: `there are ${names.join(', ')}`,
  });
}

function initialState({ program }: LabContext, options: UpOptions, cgroup2: string): LabState {
  const { nodes: nodeCount, mesh, certificateLifetimeMs, sameNode, accelerate, clockOffsets = {} } = options;
  const lifetime = certificateLifetimeMs === undefined ? {} : { certificateLifetimeMs };
  const asked = {
    nodeCount,
    mesh,
    ...lifetime,
    ...(sameNode === undefined ? {} : { sameNode }),
    ...(accelerate === undefined ? {} : { accelerate }),
    clockOffsets,
  };
  return newLabState({ ...asked, cgroup2, program, mountedBpffs: false, kubelets: {} });
}

/** Gives the claim back: what is left is not ours to remove. */
async function refuseLeftovers({ layout }: LabContext, cgroup2: string): Promise<void> {
  const left = [...(await labNamespaces()), ...(await processesIn(labCgroup(cgroup2))).map(String)];
  if (left.length === 0) return;
  await rm(layout.labFile);
  throw new MeshError('ALREADY_EXISTS', `something of another lab is left: ${left.slice(0, 5).join(', ')}`, {
    hint: 'mesh-ebpf lab down',
  });
}

/** The state file comes first: whatever happens next, `lab down` knows of it. */
async function build(
  context: LabContext,
  initial: LabState,
  manifests: readonly SourcedObject[],
  waitMs: number | undefined,
): Promise<void> {
  await makeDirectories(context, initial);
  const mountedBpffs = initial.mesh && (await mountBpffs(bpffs));
  const state = { ...initial, mountedBpffs };
  await writeLabState(context.layout, state);
  await Promise.all([makeNetwork(state), makeCgroups(state), storeObjects(context, state, manifests)]);
  const kubelets = await startKubelets(context, state, waitMs);
  await writeLabState(context.layout, { ...state, kubelets });
}

async function makeDirectories(context: LabContext, state: LabState): Promise<void> {
  const { layout } = context;
  const directories = [
    layout.objects,
    layout.staging,
    layout.bin,
    ...nodesOf(state).map(({ name }) => layout.node(name).dir),
  ];
  await Promise.all(directories.map((directory) => mkdir(directory, { recursive: true })));
  await mkdir(layout.caDir, { recursive: true, mode: 0o700 });
  await writeWrapper(context);
  await writeTokens(layout, nodesOf(state));
}

/** In pods, `mesh-ebpf` is this program: how a pod on a bare machine runs a server. */
async function writeWrapper({ layout, program }: LabContext): Promise<void> {
  const path = join(layout.bin, 'mesh-ebpf');
  const quoted = program.map((word) => `'${word.replaceAll("'", String.raw`'\''`)}'`).join(' ');
  await writeFile(path, `#!/bin/sh\nexec ${quoted} "$@"\n`);
  await chmod(path, 0o755);
}

async function makeNetwork(state: LabState): Promise<void> {
  const nodes = nodesOf(state);
  await runIpScript(fabricScript(nodes));
  await Promise.all([
    runIpScript(bridgeScript(nodes), fabricNetns),
    ...nodes.map((node) => runIpScript(nodeScript(node, nodes), nodeNetns(node.name))),
  ]);
}

async function makeCgroups(state: LabState): Promise<void> {
  for (const { name } of nodesOf(state)) {
    const { system, mesh, kubepods } = nodeCgroups(state.cgroup2, name);
    for (const path of [system, mesh, kubepods]) await makeCgroup(path);
  }
}

async function storeObjects(
  context: LabContext,
  state: LabState,
  manifests: readonly SourcedObject[],
): Promise<void> {
  const nodes = nodesOf(state);
  const now = new Date(context.clock.now()).toISOString();
  await new ObjectStore(context.layout).update(() => ({ write: initialObjects(nodes, now), remove: [] }));
  await applyManifests(context, manifests, nodes);
}
