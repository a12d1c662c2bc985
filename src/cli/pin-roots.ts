/** Finds the pinned BPF objects of this machine's nodes, and asks each for something, agent or no agent. */
import { asMeshError, MeshError } from '../base/errors.ts';
import type { CliEnv } from './env.ts';
import type { Unreachable } from './nodes.ts';
import { type Place, pinPlaces } from './places.ts';

export interface PinSelection {
  readonly node?: string;
  readonly pinRoot?: string;
}

/** One node's pins. */
export interface PinRoot {
  /** The directory's name; `node` for a machine that is one node. */
  readonly node: string;
  readonly path: string;
}

export interface PinAnswers<Item> {
  readonly items: readonly (Item & { readonly node: string })[];
  readonly unreachable: readonly Unreachable[];
}

/** @throws MeshError UNAVAILABLE when nothing is pinned; NOT_FOUND when nothing is for the node asked for. */
export async function findPinRoots(env: CliEnv, selection: PinSelection): Promise<readonly PinRoot[]> {
  const { node: name, pinRoot } = selection;
  if (pinRoot !== undefined) return [{ node: name ?? pinRoot, path: pinRoot }];
  const found = await existingPinRoots(env);
  if (found.length === 0) {
    throw new MeshError('UNAVAILABLE', 'no BPF object of the mesh is pinned on this machine', {
      hint: 'nothing is captured here; if a node should run, look at: mesh-ebpf doctor',
    });
  }
  const wanted = found.filter(({ node }) => name === undefined || node === name);
  if (wanted.length > 0) return wanted;
  const known = found.map(({ node }) => node).join(', ');
  throw new MeshError('NOT_FOUND', `nothing is pinned for a node "${name}"`, {
    hint: `nodes: ${known}`,
  });
}

export async function existingPinRoots(env: CliEnv): Promise<readonly PinRoot[]> {
  return (await Promise.all(pinPlaces.map((place) => rootsIn(env, place)))).flat();
}

async function rootsIn({ files }: CliEnv, { directory, each }: Place): Promise<readonly PinRoot[]> {
  const names = await files.list(directory);
  if (each) return names.map((node) => ({ node, path: `${directory}/${node}` }));
  return names.length === 0 ? [] : [{ node: 'node', path: directory }];
}

/** The items of every root; a root that cannot be read is listed with the reason. A usage error ends it all. */
export function readPinRoots<Item extends object>(
  roots: readonly PinRoot[],
  read: (pinRoot: string) => readonly Item[],
): PinAnswers<Item> {
  const items: (Item & { node: string })[] = [];
  const unreachable: Unreachable[] = [];
  for (const { node, path } of roots) {
    try {
      items.push(...read(path).map((item) => ({ node, ...item })));
    } catch (thrown) {
      const error = asMeshError(thrown);
      if (error.code === 'INVALID_ARGUMENT') throw error;
      unreachable.push({ node, socket: path, error });
    }
  }
  return { items, unreachable };
}
