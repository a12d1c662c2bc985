/** At which version of its kind each generation of a policy was first seen: tells which one a node runs. */
import type { PolicyRecord } from './record.ts';
import { parseVersion } from './node-progress.ts';

export interface Generation {
  readonly generation: number;
  readonly version: bigint;
}

/** What one remembers of a policy that is edited often. */
const remembered = 8;

/** Oldest first. A policy that was made anew begins anew. */
export interface Generations {
  readonly uid: string;
  readonly seen: readonly Generation[];
}

export function withGeneration(
  known: Generations | undefined,
  { uid, generation, resourceVersion }: Pick<PolicyRecord, 'uid' | 'generation' | 'resourceVersion'>,
): Generations {
  const seen = known?.uid === uid ? known.seen : [];
  const version = parseVersion(resourceVersion);
  if (version === undefined || seen.at(-1)?.generation === generation) return { uid, seen };
  return { uid, seen: [...seen.slice(1 - remembered), { generation, version }] };
}

/** Undefined: an older one than is remembered, or none. */
export const generationAt = ({ seen }: Generations, version: bigint): number | undefined =>
  seen.findLast((each) => each.version <= version)?.generation;
