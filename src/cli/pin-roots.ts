/** Where the BPF objects of this machine's nodes are pinned, agent or no agent. */
import type { CliEnv } from './env.ts';
import { type Place, pinPlaces } from './places.ts';

/** One node's pins. */
export interface PinRoot {
  /** The directory's name; `node` for a machine that is one node. */
  readonly node: string;
  readonly path: string;
}

export async function existingPinRoots(env: CliEnv): Promise<readonly PinRoot[]> {
  return (await Promise.all(pinPlaces.map((place) => rootsIn(env, place)))).flat();
}

async function rootsIn({ files }: CliEnv, { directory, each }: Place): Promise<readonly PinRoot[]> {
  const names = await files.list(directory);
  if (each) return names.map((node) => ({ node, path: `${directory}/${node}` }));
  return names.length === 0 ? [] : [{ node: 'node', path: directory }];
}
