/** Gathers changes for a few milliseconds, the last one for each object, so that a burst is one change. */
import type { Clock } from '../../base/clock.ts';
import { type ObjectKey, objectKey, type SourcedObject } from '../objects.ts';
import type { ObjectChange } from '../source.ts';

/** A pod that starts is three or four events within as many milliseconds. */
const gatherMs = 5;

export class ChangeBatch {
  readonly #clock: Clock;
  readonly #deliver: (change: ObjectChange) => void;
  /** undefined: deleted. */
  #pending = new Map<ObjectKey, SourcedObject | undefined>();
  #cancel: (() => void) | undefined;
  #isOpen = false;

  constructor(clock: Clock, deliver: (change: ObjectChange) => void) {
    this.#clock = clock;
    this.#deliver = deliver;
  }

  add({ set, deleted }: ObjectChange): void {
    for (const key of deleted) this.#pending.set(key, undefined);
    for (const sourced of set) this.#pending.set(objectKey(sourced.object), sourced);
    if (this.#isOpen && this.#pending.size > 0)
      this.#cancel ??= this.#clock.after(gatherMs, () => this.#flush());
  }

  /** Delivers what there is, even if that is nothing, and from now on what comes. */
  open(): void {
    this.#isOpen = true;
    this.#flush();
  }

  /** Delivers now what waits. */
  flush(): void {
    if (!this.#isOpen || this.#pending.size === 0) return;
    this.#cancel?.();
    this.#flush();
  }

  close(): void {
    this.#cancel?.();
    this.#isOpen = false;
  }

  #flush(): void {
    this.#cancel = undefined;
    const pending = this.#pending;
    this.#pending = new Map();
    const set: SourcedObject[] = [];
    const deleted: ObjectKey[] = [];
    for (const [key, sourced] of pending) {
      if (sourced === undefined) deleted.push(key);
      else set.push(sourced);
    }
    this.#deliver({ set, deleted });
  }
}
