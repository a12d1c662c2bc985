/**
 * `cluster.json`: the cluster that this machine has. Written before anything else is made, so that `down` knows what to
 * undo even after a crash; whoever writes it first has the machine.
 */
import { readFile } from 'node:fs/promises';
import { MeshError } from '../../../src/base/errors.ts';
import type { ProcessRef } from '../../../src/lab/system/process.ts';
import { createFileAtomically, writeFileAtomically } from '../../../src/lab/system/atomic-file.ts';
import { type ClusterLayout, type ClusterNode, clusterNodes } from '../plan/layout.ts';
import type { ProxyMode } from '../plan/daemons.ts';

const version = 1;

/** Who a cluster was made for: tests end only their own. */
export type Owner = 'person' | 'tests';

export interface ClusterState {
  readonly version: typeof version;
  readonly owner: Owner;
  /** Who started it; tests that still run need it. */
  readonly starter: ProcessRef;
  readonly nodeCount: number;
  readonly proxyMode: ProxyMode;
  /** IPv6 beside IPv4. */
  readonly dualStack: boolean;
  /** Directory of the programs that were built. */
  readonly bin: string;
  /** Directories of the host that were made to mount the nodes' own over, deepest first. */
  readonly madeDirectories: readonly string[];
  /** Everything is up. */
  readonly complete: boolean;
}

export const newState = (state: Omit<ClusterState, 'version'>): ClusterState => ({ version, ...state });

export const nodesOf = ({ nodeCount }: ClusterState): readonly ClusterNode[] => clusterNodes(nodeCount);

/** Undefined when there is no cluster. @throws MeshError UNSUPPORTED for a file of another version */
export async function readState({ stateFile }: ClusterLayout): Promise<ClusterState | undefined> {
  const text = await readFile(stateFile, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const state = JSON.parse(text) as ClusterState;
  if (state.version === version) return state;
  throw new MeshError('UNSUPPORTED', `${stateFile} was written by another version`, { hint: downHint });
}

/** @throws MeshError NOT_FOUND when there is none, UNAVAILABLE when it is only half there */
export async function requireCluster(layout: ClusterLayout): Promise<ClusterState> {
  const state = await readState(layout);
  if (state === undefined) throw new MeshError('NOT_FOUND', 'no cluster is up', { hint: upHint });
  if (state.complete) return state;
  throw new MeshError('UNAVAILABLE', 'the cluster is being started, or its start was interrupted', {
    hint: `if nobody is starting it: ${downHint}`,
  });
}

/** @throws MeshError ALREADY_EXISTS; of several starts at once, one gets through */
export async function claimCluster(layout: ClusterLayout, state: ClusterState): Promise<void> {
  if (await createFileAtomically(layout.stateFile, textOf(state))) return;
  throw new MeshError('ALREADY_EXISTS', 'there is a cluster already, or one is being started', {
    hint: `npm run cluster -- status; ${downHint}`,
  });
}

export const writeState = ({ stateFile }: ClusterLayout, state: ClusterState): Promise<void> =>
  writeFileAtomically(stateFile, textOf(state));

/** @throws MeshError INVALID_ARGUMENT with the names there are */
export function findNode(state: ClusterState, text: string): ClusterNode {
  const nodes = nodesOf(state);
  const found = nodes.find(({ name, number }) => name === text || String(number) === text);
  if (found !== undefined) return found;
  throw new MeshError('INVALID_ARGUMENT', `there is no node "${text}"`, {
    hint: `there are ${nodes.map(({ name }) => name).join(', ')}`,
  });
}

export const upHint = 'npm run cluster -- up';
export const downHint = 'npm run cluster -- down';

const textOf = (state: ClusterState): string => `${JSON.stringify(state, undefined, 2)}\n`;
