/**
 * How far a rotation of the root is. Pure: the state writes down when each stage begins and ends, so a rotation goes on
 * where it was, whoever restarts in the middle of it.
 */
import type { AuthorityStatus } from './authority.ts';

export type RotationStage =
  /** One root. */
  | { readonly stage: 'stable' }
  /** The new root is trusted everywhere before it signs; the old one still signs. */
  | { readonly stage: 'distributing'; readonly until: number }
  /** The new root signs; the old one is trusted until its last certificate has ended. */
  | { readonly stage: 'retiring'; readonly until: number };

export const stages = [
  'stable',
  'distributing',
  'retiring',
] as const satisfies readonly RotationStage['stage'][];

/** `until` in milliseconds since the epoch: the next stage begins then. */
export function rotationStage({ lineages }: Pick<AuthorityStatus, 'lineages'>): RotationStage {
  const [oldest] = lineages;
  const newest = lineages.at(-1);
  if (oldest === undefined || newest === undefined || lineages.length < 2) return { stage: 'stable' };
  if (!newest.issuing) return { stage: 'distributing', until: newest.issuesFrom };
  return { stage: 'retiring', until: oldest.trustedUntil ?? newest.issuesFrom };
}

/** For people, one sentence. */
export function describeStage(rotation: RotationStage): string {
  switch (rotation.stage) {
    case 'stable':
      return 'stable: one root, no rotation under way';
    case 'distributing':
      return `distributing: every node learns the new root; it signs from ${iso(rotation.until)}`;
    case 'retiring':
      return `retiring: the new root signs; the old one is trusted until ${iso(rotation.until)}`;
  }
}

const iso = (ms: number): string => new Date(ms).toISOString();
