/** How full the BPF maps are, for the metrics and for whoever asks about problems. */
import type { Clock } from '../../base/clock.ts';
import type { Datapath } from '../../datapath/datapath.ts';
import { isNearlyFull, type MapOccupancy } from '../../datapath/occupancy.ts';
import type { KernelPath } from '../../datapath/kernel-path/kernel-path.ts';
import type { Problem } from '../../telemetry/admin-api.ts';

/** Counting a full `flows` holds up everything else for 30 ms: now and then, and not with every scrape. */
const countEveryMs = 30_000;

export function occasionalOccupancy(
  datapath: Pick<Datapath, 'occupancy'>,
  clock: Pick<Clock, 'now'>,
): () => readonly MapOccupancy[] {
  let counted: readonly MapOccupancy[] = [];
  let countedAt = -Infinity;
  return () => {
    const now = clock.now();
    if (Math.abs(now - countedAt) >= countEveryMs) {
      counted = datapath.occupancy();
      countedAt = now;
    }
    return counted;
  };
}

/** Pods that will soon get no more connections to others of the node. */
export const shareProblems = (shares: ReturnType<KernelPath['shares']>): Problem[] =>
  shares
    .filter(({ used, share }) => isNearlyFull({ entries: used, capacity: share }))
    .map(({ pod: { label }, used, share }) => ({
      code: 'BPF_MAP_FULL',
      subject: `pod ${label}`,
      message: `it has ${used} of ${share} connections that one pod may have to others of this node now; when it has all, further ones are refused`,
      hint: 'mesh-ebpf maps dump flows shows where they go; --max-pod-connections of the node program allows more, --max-flows makes room for all',
      since: null,
    }));

/** While there is still time to act. */
export const occupancyProblems = (maps: readonly MapOccupancy[]): Problem[] =>
  maps.filter(isNearlyFull).map(problem);

function problem({ map, entries, capacity }: MapOccupancy): Problem {
  const percent = Math.floor((entries / capacity) * 100);
  return {
    code: 'BPF_MAP_FULL',
    subject: `map ${map.name}`,
    message: `${entries} of ${capacity} entries are in use (${percent}%); when it is full, ${map.whenFull}`,
    hint: `mesh-ebpf maps dump ${map.name} shows what fills it; --max-${map.sizedBy} of the node program gives it room`,
    since: null,
  };
}
