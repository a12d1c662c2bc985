/** What becomes of one connection's record when programs of two versions have one each. Pure. */
import type { Flow } from '../abi/layout.ts';

/**
 * @param ours as the new programs have it; undefined: not at all
 * @param theirs as the old ones had it when they last ran
 * @returns what ours is to be
 */
export function mergedFlow(ours: Flow | undefined, theirs: Flow): Flow {
  if (ours === undefined) return settled(theirs);
  // Another connection of the same tuple: the later one counts.
  if (ours.socketCookie !== theirs.socketCookie)
    return ours.openedAt >= theirs.openedAt ? ours : settled(theirs);
  const stage = ours.stage === 'new' ? theirs.stage : ours.stage;
  return settled({ ...ours, stage, closed: ours.closed || theirs.closed });
}

/**
 * Of a connection on the kernel path that no program has judged yet, nobody can tell whether the new ones will, or saw it
 * pass without a record and gave it to ztunnel. It counts as given: so the record waits for ztunnel, which else would take
 * it for a stranger's. If it is judged after all, that counts.
 */
const settled = (flow: Flow): Flow =>
  flow.origin.kind === 'kernel' && flow.stage === 'new' ? { ...flow, stage: 'asked' } : flow;

export const isSameFlow = (a: Flow, b: Flow): boolean =>
  a.socketCookie === b.socketCookie && a.stage === b.stage && a.closed === b.closed;

/** What becomes of the record of a connection whose socket is gone, unheard; undefined: it goes. */
export const orphaned = (flow: Flow): Flow | undefined =>
  // May still wait in ztunnel's listen queue, as it would if the programs had heard.
  flow.origin.kind === 'kernel' && flow.stage !== 'admitted' ? { ...flow, closed: true } : undefined;
