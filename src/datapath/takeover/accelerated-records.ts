/**
 * What accelerated connections carried past TCP, of which only the map `accelerated` knows until they end. Their sockets
 * keep the sk_msg program that was there when they joined, and that one counts in the map of its version for as long as
 * they live. So the record is moved: where it finds none, that program leaves a connection to TCP, from its next message
 * on, and nothing is left to count.
 */
import { asMeshError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { Accelerated } from '../abi/acceleration-layout.ts';
import type { Flow, FlowKey } from '../abi/layout.ts';
import type { MapTable } from '../map-table.ts';
import type { EarlierTable } from './earlier-table.ts';

export type EarlierAccelerated = Pick<EarlierTable<bigint, Accelerated>, 'entries' | 'take'>;

export interface AcceleratedRecordsDeps {
  /** Undefined stands for one that cannot be read. */
  readonly theirs: readonly (EarlierAccelerated | undefined)[];
  readonly ours: Pick<MapTable<bigint, Accelerated>, 'set' | 'entries' | 'deleteAll'>;
  readonly flows: Pick<MapTable<FlowKey, Flow>, 'entries'>;
  readonly log: Pick<Logger, 'warn'>;
}

export class AcceleratedRecords {
  readonly #deps: AcceleratedRecordsDeps;

  constructor(deps: AcceleratedRecordsDeps) {
    this.#deps = deps;
  }

  /** For those that end before they are moved: whichever recorder hears of it knows their bytes. */
  copy(): void {
    this.#each((table) => table.entries().forEach(([cookie, record]) => this.#deps.ours.set(cookie, record)));
  }

  /** Not before the new maps are pinned: it is the only place where it is from now on. */
  move(): void {
    this.#each((table) => {
      for (const [cookie] of table.entries()) {
        // Taken at once: bytes that are counted after it was read would be in neither.
        const record = table.take(cookie);
        if (record !== undefined) this.#deps.ours.set(cookie, record);
      }
    });
  }

  /** Removes records of connections that ended while theirs was under way. A connection's flow is there before and after its record. */
  prune(): void {
    const { ours, flows } = this.#deps;
    const cookies = ours.entries().map(([cookie]) => cookie);
    if (cookies.length === 0) return;
    const open = new Set(flows.entries().map(([, { socketCookie }]) => socketCookie));
    ours.deleteAll(cookies.filter((cookie) => !open.has(cookie)));
  }

  /** Connections are the same without: they are told of with too few bytes. */
  #each(action: (table: EarlierAccelerated) => void): void {
    const { theirs, log } = this.#deps;
    for (const table of theirs) {
      try {
        if (table === undefined)
          log.warn({}, 'bytes of accelerated connections cannot be read: they are not counted');
        else action(table);
      } catch (thrown) {
        log.warn({ err: asMeshError(thrown) }, 'not all bytes of accelerated connections are carried over');
      }
    }
  }
}
