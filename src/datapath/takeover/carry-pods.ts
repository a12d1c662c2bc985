/**
 * Pods that an agent of another version enrolled are enrolled in the new maps, too, under the ids that records of open
 * connections have: they stay captured when the new programs come, whoever of them this agent knows. Their listeners
 * cannot be carried over, so until then what others dial there is dropped.
 */
import { asMeshError } from '../../base/errors.ts';
import type { IpAddress } from '../../base/ip.ts';
import type { Logger } from '../../base/log.ts';
import type { Pod } from '../abi/layout.ts';
import { mapSpecs } from '../maps.ts';
import type { MapTable } from '../map-table.ts';
import type { EarlierMaps } from './earlier-maps.ts';

export function carryPods(
  installation: { isNew(map: string): boolean },
  earlier: EarlierMaps,
  ours: {
    readonly pods: Pick<MapTable<bigint, Pod>, 'setAll'>;
    readonly localPods: Pick<MapTable<IpAddress, number>, 'setAll'>;
  },
  log: Logger,
): void {
  if (!installation.isNew(mapSpecs.pods.name)) return;
  try {
    ours.pods.setAll(earlier.pods()?.entries() ?? []);
    if (installation.isNew(mapSpecs.localPods.name))
      ours.localPods.setAll(earlier.localPods()?.entries() ?? []);
  } catch (thrown) {
    log.error({ err: asMeshError(thrown) }, 'not all pods that were enrolled before are known');
  }
}
