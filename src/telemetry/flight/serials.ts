/** Numbers in the ids of connections, so that a restarted program does not give one twice. */
import type { ConnectionRecord } from '../../model/connection.ts';

/** More than there can be connections that were shown to somebody and not written down. */
const gap = 1000;

/** The first number to be given to ids with the prefix (`c-`), after those of `records`; base 36, as they are written. */
export function nextSerial(records: readonly Pick<ConnectionRecord, 'id'>[], prefix: string): number {
  let last = -gap;
  for (const { id } of records) {
    if (!id.startsWith(prefix)) continue;
    const serial = Number.parseInt(id.slice(prefix.length), 36);
    // Of a damaged file; beyond it numbers are not exact.
    if (serial > last && serial < Number.MAX_SAFE_INTEGER - gap) last = serial;
  }
  return last < 0 ? 0 : last + gap;
}
