/** `up`: builds what is missing, makes the nodes and the control plane, and waits until every node is ready. */
import { cp, mkdir, readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { MeshError } from '../../../src/base/errors.ts';
import { type ProcessRef, processRef } from '../../../src/lab/system/process.ts';
import { type Build, ensureBuilt } from '../artifacts/build.ts';
import { makeControlCgroup } from '../machine/cgroups.ts';
import { endedError, findProcess, startDaemon } from '../machine/daemons.ts';
import { makeFabric } from '../machine/network.ts';
import { bootNode, joinNode, loadImage, startNode, writeDisk } from '../machine/node.ts';
import { writePki } from '../machine/pki.ts';
import { step } from '../machine/progress.ts';
import {
  claimCluster,
  type ClusterState,
  newState,
  nodesOf,
  type Owner,
  writeState,
} from '../machine/state.ts';
import { controlPlaneDaemons, type ProxyMode } from '../plan/daemons.ts';
import { type ClusterNode, nodeDirectories } from '../plan/layout.ts';
import { ClusterApi } from '../support/api.ts';
import { eventually } from '../support/eventually.ts';
import { type ClusterContext, handles, type Running } from './context.ts';
import { clearAway, refuseLeftovers } from './down.ts';
import { checkHost } from './host-check.ts';

export interface UpOptions {
  readonly owner: Owner;
  readonly nodeCount: number;
  readonly proxyMode: ProxyMode;
  readonly dualStack: boolean;
}

/** Generous: a busy machine takes ten times as long as an idle one. */
const apiServerTimeoutMs = 180_000;
const nodeTimeoutMs = 180_000;
const dnsTimeoutMs = 120_000;

type Start = (context: ClusterContext, claimed: ClusterState, build: Build) => Promise<void>;

/** @throws MeshError ALREADY_EXISTS when there is a cluster or something left of one. A failed start is undone. */
export const up = (context: ClusterContext, options: UpOptions): Promise<void> =>
  bringUp(context, options, start);

/** etcd, API server and nodes on which nothing runs: for who brings objects and programs of their own. As `up`. */
export const upBare = (context: ClusterContext, options: UpOptions): Promise<void> =>
  bringUp(context, options, startBare);

async function bringUp(context: ClusterContext, options: UpOptions, start: Start): Promise<void> {
  checkHost();
  const { layout, cache, progress } = context;
  const build = await ensureBuilt(cache, progress);
  const starter = requireProcess(process.pid);
  const state = newState({ ...options, starter, bin: build.bin, madeDirectories: [], complete: false });
  await claimCluster(layout, state);
  await refuseLeftovers(layout);
  try {
    await start(context, state, build);
  } catch (error) {
    progress('the start failed: clearing away what was made');
    await keepLogs(context);
    await clearAway(context);
    throw error;
  }
}

function requireProcess(pid: number): ProcessRef {
  const ref = processRef(pid);
  if (ref === undefined) throw new MeshError('UNSUPPORTED', '/proc is not mounted');
  return ref;
}

const start: Start = async (context, claimed, build) => {
  const { layout, progress } = context;
  const cluster = await layGround(context, claimed);
  const { state } = cluster;
  const nodes = nodesOf(state);
  const api = ClusterApi.fromFile(layout.adminKubeconfig);
  await all([
    step(progress, 'starting the control plane', () => startControlPlane(cluster, api)),
    ...nodes.map((node) => step(progress, `booting ${node.name}`, () => boot(cluster, node, build))),
  ]);
  await step(progress, 'waiting for the nodes to be ready', () => joinNodes(cluster, api));
  await step(progress, 'waiting for DNS', () => startDns(api));
  await writeState(layout, { ...state, complete: true });
};

const startBare: Start = async (context, claimed) => {
  const { layout, progress } = context;
  const cluster = await layGround(context, claimed);
  const { machine, settings, state } = cluster;
  await step(progress, 'starting etcd and the API server', () =>
    startApiServer(cluster, ClusterApi.fromFile(layout.adminKubeconfig)),
  );
  for (const node of nodesOf(state)) {
    await writeDisk(settings, node);
    await startNode(machine, settings, node, nodesOf(state));
  }
  await writeState(layout, { ...state, complete: true });
};

/** What everything else stands on: certificates, and links between the nodes. */
async function layGround({ layout }: ClusterContext, claimed: ClusterState): Promise<Running> {
  const state = { ...claimed, madeDirectories: await makeMountPoints() };
  await writeState(layout, state);
  await writePki(layout, nodesOf(state));
  await makeFabric(state.dualStack);
  return handles(layout, state);
}

/** Waits for every one, also when some failed: what still starts something must not go on while others clear away. */
async function all(works: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(works)).find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

/** Those that the host lacks, deepest first: `down` removes them again. */
async function makeMountPoints(): Promise<readonly string[]> {
  const made: string[] = [];
  for (const directory of nodeDirectories) {
    const first = await mkdir(directory, { recursive: true });
    if (first !== undefined) made.push(...pathsBetween(first, directory));
  }
  return made.toSorted((a, b) => b.length - a.length);
}

/** `outer`, `inner`, and every directory between them. */
const pathsBetween = (outer: string, inner: string): readonly string[] =>
  inner === outer ? [inner] : [inner, ...pathsBetween(outer, dirname(inner))];

async function startControlPlane(cluster: Running, api: ClusterApi): Promise<void> {
  await startApiServer(cluster, api);
  for (const daemon of controlPlaneDaemons(cluster.settings).slice(2)) {
    await startDaemon(cluster.machine, daemon);
  }
}

/** With etcd: the first two daemons. */
async function startApiServer({ machine, settings }: Running, api: ClusterApi): Promise<void> {
  await makeControlCgroup(machine.trees);
  for (const daemon of controlPlaneDaemons(settings).slice(0, 2)) await startDaemon(machine, daemon);
  await whenApiServerReady(machine.layout, api);
}

/** One that ended says why at once, instead of being waited for. */
export async function whenApiServerReady(layout: ClusterContext['layout'], api: ClusterApi): Promise<void> {
  const look = async (): Promise<string> => {
    for (const name of ['etcd', 'kube-apiserver']) {
      if ((await findProcess(layout, name)) === undefined) return name;
    }
    return (await api.isReady()) ? 'ready' : 'not ready';
  };
  const seen = await eventually(
    'the API server is ready',
    look,
    (state) => state !== 'not ready',
    apiServerTimeoutMs,
  );
  if (seen !== 'ready') throw endedError(layout, seen);
}

async function boot(cluster: Running, node: ClusterNode, { images }: Build): Promise<void> {
  const { machine, settings, state } = cluster;
  await writeDisk(settings, node);
  await bootNode(machine, settings, node, nodesOf(state));
  for (const file of await readdir(images)) await loadImage(machine, node, join(images, file));
}

async function joinNodes({ machine, settings, state }: Running, api: ClusterApi): Promise<void> {
  const nodes = nodesOf(state);
  for (const node of nodes) await joinNode(machine, settings, node);
  await whenNodesReady(
    api,
    nodes.map(({ name }) => name),
  );
  for (const { name, podCidr, v6 } of nodes) {
    const podCIDRs = [podCidr, ...(state.dualStack ? [v6.podCidr] : [])];
    const node = { apiVersion: 'v1', kind: 'Node', metadata: { name }, spec: { podCIDR: podCidr, podCIDRs } };
    await api.apply(JSON.stringify(node));
  }
}

export async function whenNodesReady(api: ClusterApi, names: readonly string[]): Promise<void> {
  const wanted = names.toSorted().join();
  await eventually(
    `${wanted} are ready`,
    () => api.readyNodes(),
    (ready) => ready.join() === wanted,
    nodeTimeoutMs,
  );
}

/** The cluster's DNS service; also after etcd was emptied. */
export async function startDns(api: ClusterApi): Promise<void> {
  const manifest = join(import.meta.dirname, '..', 'manifests', 'dns.yaml');
  await api.apply(await readFile(manifest, 'utf8'));
  await api.whenPodsReady('kube-system', 'k8s-app=kube-dns', 1, dnsTimeoutMs);
}

/** Clearing away takes the logs along, and they are what tells why. */
async function keepLogs({ layout, progress }: ClusterContext): Promise<void> {
  const kept = '/tmp/mesh-ebpf-cluster-logs';
  await cp(dirname(layout.log('x')), kept, { recursive: true }).then(
    () => progress(`the logs are kept in ${kept}`),
    () => {},
  );
}
