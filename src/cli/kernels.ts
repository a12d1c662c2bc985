/** The pinned BPF objects of the nodes a command is about: each is asked for something, node program or not. */
import { asMeshError, MeshError } from '../base/errors.ts';
import { mapLimited } from '../base/map-limited.ts';
import { chooseCluster } from './cluster/choose.ts';
import { findClusterNodes } from './cluster/find-nodes.ts';
import type { CliEnv } from './env.ts';
import {
  type Found,
  type KernelHandle,
  maxAskedAtOnce,
  type NodeChoice,
  sortedByNode,
  type Unreachable,
} from './node-handle.ts';
import { existingPinRoots, type PinRoot } from './pin-roots.ts';
import { socketOfPins } from './places.ts';
import { countRuns } from './run-counts.ts';

export interface PinSelection extends NodeChoice {
  readonly pinRoot?: string;
}

export interface KernelAnswers<Item> {
  readonly items: readonly (Item & { readonly node: string })[];
  readonly unreachable: readonly Unreachable[];
}

/** @throws MeshError UNAVAILABLE when nothing is pinned; NOT_FOUND when nothing is for the node asked for */
export async function findKernels(env: CliEnv, selection: PinSelection): Promise<Found<KernelHandle>> {
  const { node: name, pinRoot } = selection;
  if (pinRoot !== undefined) return local(env, [{ node: name ?? pinRoot, path: pinRoot }]);
  const found = await existingPinRoots(env);
  const cluster = await chooseCluster(env, selection, async () => await Promise.resolve(found.length > 0));
  if (cluster !== undefined) return await findClusterNodes(env, cluster, selection);
  if (found.length === 0) {
    throw new MeshError('UNAVAILABLE', 'no BPF object of the mesh is pinned on this machine', {
      hint:
        'nothing is captured here; if a node should run, look at: mesh-ebpf doctor; for the nodes of a cluster give ' +
        '--kubeconfig',
    });
  }
  const wanted = found.filter(({ node }) => name === undefined || node === name);
  if (wanted.length > 0) return local(env, wanted);
  const known = found.map(({ node }) => node).join(', ');
  throw new MeshError('NOT_FOUND', `nothing is pinned for a node "${name}"`, {
    hint: `nodes: ${known}`,
  });
}

const local = (env: CliEnv, roots: readonly PinRoot[]): Found<KernelHandle> => ({
  handles: roots.map((root) => localKernel(env, root)),
  unreachable: [],
});

function localKernel(env: CliEnv, { node, path }: PinRoot): KernelHandle {
  const { datapath } = env;
  return {
    node,
    where: path,
    admin: async (request) => {
      const socket = socketOfPins(path);
      if (socket !== undefined) return await env.adminRequest(socket, request);
      throw new MeshError('UNAVAILABLE', `which node program ${path} belongs to is not known`);
    },
    maps: async () => await now(() => datapath.maps(path)),
    dump: async (map) => await now(() => datapath.dump(path, map)),
    programs: async () => await now(() => datapath.programs(path)),
    runs: async (forMs, signal) => await countRuns(env, path, forMs, signal),
    close: () => {},
  };
}

/** A read of the kernel needs no waiting; its errors come as those of a node that is asked do. */
const now = async <T>(read: () => T): Promise<T> => await Promise.resolve(read());

/** The items of every node; one that cannot be read is listed with the reason. A usage error ends it all. */
export async function readKernels<Item extends object>(
  env: CliEnv,
  selection: PinSelection,
  read: (kernel: KernelHandle, signal: AbortSignal) => Promise<readonly Item[]>,
): Promise<KernelAnswers<Item>> {
  const { handles, unreachable } = await findKernels(env, selection);
  const answers = await mapLimited(handles, maxAskedAtOnce, async (kernel) => {
    const signal = AbortSignal.any([env.interrupted, AbortSignal.timeout(selection.timeout)]);
    try {
      return (await read(kernel, signal)).map((item) => ({ node: kernel.node, ...item }));
    } catch (thrown) {
      const error = asMeshError(thrown);
      if (error.code === 'INVALID_ARGUMENT' || env.interrupted.aborted) throw error;
      return { node: kernel.node, where: kernel.where, error };
    } finally {
      kernel.close();
    }
  });
  return {
    items: answers.flatMap((answer) => ('error' in answer ? [] : answer)),
    unreachable: sortedByNode([
      ...unreachable,
      ...answers.flatMap((answer) => ('error' in answer ? [answer] : [])),
    ]),
  };
}
