/** What the authority's own certificates need at a given moment. Pure. */
import type { AuthorityStatus } from './ca/authority.ts';

export interface UpkeepNeeds {
  /** Two thirds of the issuing intermediate's life are over; replacing it is invisible to everybody. */
  readonly intermediateDue: boolean;
  /** For the log: what only a person should decide. */
  readonly warning: string | undefined;
}

const dayMs = 86_400_000;
/** A new root has to reach everybody who keeps a copy of it: that may be a ticket and a maintenance window. */
const rootWarningMs = 180 * dayMs;

/** `now` in milliseconds since the epoch. */
export function upkeepNeeds({ lineages }: AuthorityStatus, now: number): UpkeepNeeds {
  const issuing = lineages.find((lineage) => lineage.issuing);
  if (issuing === undefined) return { intermediateDue: false, warning: undefined };
  const { rootExpires, intermediateMade, intermediateExpires } = issuing;
  const used = (now - intermediateMade) / (intermediateExpires - intermediateMade);
  const days = Math.floor((rootExpires - now) / dayMs);
  const warned = lineages.length === 1 && rootExpires - now < rootWarningMs;
  return {
    // A root near its end bounds every intermediate: a new one would be due at once again.
    intermediateDue: used > 2 / 3 && intermediateExpires < rootExpires,
    warning: warned ? `the root certificate expires in ${days} days; rotate it now` : undefined,
  };
}
