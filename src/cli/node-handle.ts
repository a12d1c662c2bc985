/** Nodes as commands see them, on this machine or in a cluster. */
import type { MeshError } from '../base/errors.ts';
import type { MapSummary } from '../datapath/inspect/maps.ts';
import type { AttachedProgram } from '../datapath/inspect/programs.ts';
import type { Row } from '../datapath/inspect/rows.ts';
import type { AdminRequest, AdminResponse, ClusterChoice } from './env.ts';

/** Which nodes, and how long to wait for each. */
export interface NodeChoice extends ClusterChoice {
  /** Only the node of this name. */
  readonly node?: string;
  /** Longest wait for one node, milliseconds. */
  readonly timeout: number;
}

interface Handle {
  /** As far as it is known before the node answers. */
  readonly node: string;
  /** Where it is asked, in words: a path, or `pod NAMESPACE/NAME`. */
  readonly where: string;
  /** Lets go of what asking needs; asking again takes it up again. */
  close(): void;
}

/** A node program that can be asked, one question at a time. */
export interface NodeHandle extends Handle {
  /** @throws MeshError UNAVAILABLE, PERMISSION, TIMEOUT, UNSUPPORTED */
  admin(request: AdminRequest): Promise<AdminResponse>;
}

/** A node's pinned BPF objects, node program or not; to ask that program fails where there is none. */
export interface KernelHandle extends NodeHandle {
  maps(signal: AbortSignal): Promise<readonly MapSummary[]>;
  dump(map: string, signal: AbortSignal): Promise<readonly Row[]>;
  programs(signal: AbortSignal): Promise<readonly AttachedProgram[]>;
  /** The same, with what ran in the next `forMs` milliseconds: meanwhile the kernel counts. */
  runs(forMs: number, signal: AbortSignal): Promise<readonly AttachedProgram[]>;
}

export interface Unreachable {
  readonly node: string;
  readonly where: string;
  readonly error: MeshError;
}

/** What there is to ask, and what is known beforehand not to answer. */
export interface Found<Asked> {
  readonly handles: readonly Asked[];
  readonly unreachable: readonly Unreachable[];
}

/** Nodes asked at a time: enough to be fast, few enough for an API server that serves others too. */
export const maxAskedAtOnce = 16;

export const sortedByNode = <T extends { readonly node: string }>(all: readonly T[]): readonly T[] =>
  all.toSorted((a, b) => (a.node < b.node ? -1 : 1));
