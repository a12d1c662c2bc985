/** A token bucket: so much at once, so much a second. The clock is read only when the tokens run out. */
import type { Clock } from '../../base/clock.ts';
import type { BudgetSize } from './limits.ts';

export class Budget {
  readonly #clock: Pick<Clock, 'now'>;
  readonly #size: BudgetSize;
  #tokens: number;
  #refilledAt: number;

  constructor(clock: Pick<Clock, 'now'>, size: BudgetSize) {
    this.#clock = clock;
    this.#size = size;
    this.#tokens = size.burst;
    this.#refilledAt = clock.now();
  }

  /** False: nothing is left. */
  spend(): boolean {
    if (this.#tokens < 1) this.#refill();
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  earn(tokens: number): void {
    this.#tokens = Math.min(this.#size.burst, this.#tokens + tokens);
  }

  #refill(): void {
    const now = this.#clock.now();
    this.earn((Math.max(0, now - this.#refilledAt) / 1000) * this.#size.perSecond);
    this.#refilledAt = now;
  }
}
