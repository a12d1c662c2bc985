/**
 * Sessions of clients that programs of another version went on with: they lead to the same endpoints under the new ones.
 * Which of these may still be used the new maps say by generations of their own, so ztunnel is asked about each once.
 */
import { asMeshError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { SessionEntry, SessionKey } from '../abi/service-layout.ts';
import type { MapTable } from '../map-table.ts';
import type { EarlierMaps } from './earlier-maps.ts';

/** Of no Service's entry. */
const unconfirmed = 0;

/** To be called when the old programs go on with none any more. What ztunnel has decided since counts more. */
export function carrySessions(
  earlier: Pick<EarlierMaps, 'sessions'>,
  ours: Pick<MapTable<SessionKey, SessionEntry>, 'add'>,
  log: Logger,
): void {
  try {
    for (const [key, session] of earlier.sessions()?.entries() ?? []) {
      ours.add(key, { ...session, generation: unconfirmed });
    }
  } catch (thrown) {
    log.warn({ err: asMeshError(thrown) }, 'not all sessions of clients go on: some may begin anew');
  }
}
