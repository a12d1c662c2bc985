/** From what changed in the mesh to the addresses that nobody should wait for any longer. Pure. */
import type { IpAddress } from '../base/ip.ts';
import type { Service, Workload } from '../model/mesh.ts';
import type { Change, MeshDiff, MeshView } from '../model/view.ts';
import type { Departure } from '../net/engine.ts';

export type Departures = ReadonlyMap<IpAddress, Departure>;

/** `view` is the mesh after the change. */
export function departuresIn(view: MeshView, diff: MeshDiff): Departures {
  const departures = new Map<IpAddress, Departure>();
  for (const { before, after } of diff.services) {
    for (const ip of endpointsLeaving(before, after)) departures.set(ip, 'leaving');
  }
  for (const change of diff.workloads) {
    for (const ip of change.before?.addresses ?? []) {
      const departure = workloadDeparture(view, change, ip);
      if (departure !== undefined) departures.set(ip, departure);
    }
  }
  return departures;
}

/** Were to be preferred before, and are not any more. */
function endpointsLeaving(before: Service | undefined, after: Service | undefined): readonly IpAddress[] {
  const was = preferred(before);
  if (was.length === 0) return was;
  const is = new Set(preferred(after));
  return was.filter((ip) => !is.has(ip));
}

const preferred = (service: Service | undefined): readonly IpAddress[] =>
  (service?.endpoints ?? []).filter(({ ready }) => ready).map(({ address }) => address);

function workloadDeparture(
  view: MeshView,
  { before, after }: Change<unknown, Workload>,
  ip: IpAddress,
): Departure | undefined {
  // A host-network pod's address is its node's, which stays.
  if (before === undefined || before.hostNetwork) return undefined;
  const owner = view.workloadByIp(ip);
  if (owner === undefined) return 'gone';
  if (owner.uid !== before.uid) return undefined;
  if (before.protocol === 'hbone' && owner.protocol !== 'hbone') return 'gone';
  return !before.terminating && after?.terminating === true ? 'leaving' : undefined;
}
