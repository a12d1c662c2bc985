/**
 * Ended connections, told one by one as long as there are not too many: of a storm, those of a pair are told together.
 * A pod that opens ten thousand connections a second would else keep a core busy with lines that nobody reads, and push
 * all others' out of the node's memory. Nothing is lost by it but which port each of them had: bytes and counts are sums.
 */
import type { Clock } from '../base/clock.ts';
import type { EndedBatch, EndedConnection } from '../datapath/kernel-path/ended-batch.ts';

const windowMs = 100;
/** Of each window, the first so many have a record of their own: about two hundred and fifty a second. */
const oneByOnePerWindow = 25;

export class EndedStorm {
  readonly #clock: Pick<Clock, 'now'>;
  #windowBegan = -Infinity;
  #oneByOneLeft = 0;

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock;
  }

  /** @param isApart of those that are told by themselves, whatever storm they are in */
  told(batch: EndedBatch, isApart?: (cookie: bigint) => boolean): readonly EndedConnection[] {
    this.#enterWindow();
    const oneByOne = this.#oneByOneLeft;
    this.#oneByOneLeft = Math.max(0, oneByOne - batch.size);
    return batch.told(oneByOne, isApart);
  }

  /** A clock that was set back begins one, too. */
  #enterWindow(): void {
    const passedMs = this.#clock.now() - this.#windowBegan;
    if (passedMs >= 0 && passedMs < windowMs) return;
    this.#windowBegan = this.#clock.now();
    this.#oneByOneLeft = oneByOnePerWindow;
  }
}
