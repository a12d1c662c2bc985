/**
 * `lab.json`: what a lab has made or is about to make. Written before anything is made, so that `lab down` knows what
 * to undo even after a crash. The schema is versioned; a file of another version is refused, not guessed at.
 */
import { readFile } from 'node:fs/promises';
import { MeshError } from '../base/errors.ts';
import type { LabLayout } from './layout.ts';
import { createFileAtomically, writeFileAtomically } from './system/atomic-file.ts';
import type { ProcessRef } from './system/process.ts';
import { labNodes } from './topology.ts';
import type { LabNode } from './topology.ts';

const version = 2;

export interface LabState {
  readonly version: typeof version;
  readonly nodeCount: number;
  /** Whether the mesh's node program and controller run. */
  readonly mesh: boolean;
  /** Of the workloads' certificates; absent: as the controller has it. */
  readonly certificateLifetimeMs?: number;
  /** `--same-node` of the node programs; absent: as they have it. */
  readonly sameNode?: string;
  /** `--accelerate` of the node programs; absent: as they have it. */
  readonly accelerate?: string;
  /** By node: how far the clock of its mesh programs is wrong, in milliseconds. */
  readonly clockOffsets: Readonly<Record<string, number>>;
  /** Mount point of cgroup v2. */
  readonly cgroup2: string;
  /** The bpf file system was mounted by us, so it is unmounted by us. */
  readonly mountedBpffs: boolean;
  /** The command that runs this program: [node, entry point]. */
  readonly program: readonly [string, ...string[]];
  /** By node, the process that keeps the kubelet running. */
  readonly kubelets: Readonly<Record<string, ProcessRef>>;
}

export const newLabState = (state: Omit<LabState, 'version'>): LabState => ({ version, ...state });

export const nodesOf = (state: LabState): readonly LabNode[] => labNodes(state.nodeCount);

/** undefined when there is no lab. @throws MeshError UNSUPPORTED for a file of another version. */
export async function readLabState(layout: LabLayout): Promise<LabState | undefined> {
  const text = await readFile(layout.labFile, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const state = parseState(text);
  if (state?.version === version) return state;
  throw new MeshError('UNSUPPORTED', `${layout.labFile} was written by another version of mesh-ebpf`, {
    hint: 'mesh-ebpf lab down',
  });
}

/** Only we write it, whole or not at all: the version is all there is to check. */
function parseState(text: string): LabState | undefined {
  try {
    return JSON.parse(text) as LabState;
  } catch {
    return undefined;
  }
}

/** @throws MeshError NOT_FOUND when no lab is up. */
export async function requireLab(layout: LabLayout): Promise<LabState> {
  const state = await readLabState(layout);
  if (state !== undefined) return state;
  throw new MeshError('NOT_FOUND', 'no lab is running', { hint: 'mesh-ebpf lab up -f examples/shop' });
}

export const writeLabState = (layout: LabLayout, state: LabState): Promise<void> =>
  writeFileAtomically(layout.labFile, textOf(state));

/**
 * Writes the state of a lab that is about to be made: from then on nobody else makes one.
 * @throws MeshError ALREADY_EXISTS when there is one; of several starts at once, one gets through
 */
export async function claimLab(layout: LabLayout, state: LabState): Promise<void> {
  if (await createFileAtomically(layout.labFile, textOf(state))) return;
  const other = await readLabState(layout);
  const isUp = Object.keys(other?.kubelets ?? {}).length > 0;
  throw new MeshError('ALREADY_EXISTS', isUp ? 'a lab is running already' : 'a lab is just being started', {
    hint: isUp
      ? 'mesh-ebpf lab apply adds to it, mesh-ebpf lab down ends it'
      : 'if nobody is starting one, a start was interrupted: mesh-ebpf lab down',
  });
}

const textOf = (state: LabState): string => `${JSON.stringify(state, undefined, 2)}\n`;
