/**
 * The receiving half of flow control (RFC 9113 §5.2), for one stream or the connection. The sending half is one number,
 * kept by `data-sender.ts`.
 *
 * Of the window's `size`, every byte is in one of three places: the peer may still send it (`remaining`), it arrived and
 * was not used yet (`unconsumed`), or it is ours to grant again.
 */
export class ReceiveWindow {
  /** What the peer may still send; below 0 only after `shift`. */
  #remaining: number;
  #unconsumed = 0;
  readonly #size: number;
  readonly #budget: number;

  /**
   * `budget`: granting goes on as long as remaining and unconsumed stay below it. More than `size`, it lets a
   * connection's healthy streams go on while others sit on unused bytes.
   */
  constructor(options: { readonly initial: number; readonly size: number; readonly budget?: number }) {
    this.#remaining = options.initial;
    this.#size = options.size;
    this.#budget = options.budget ?? options.size;
  }

  get unconsumed(): number {
    return this.#unconsumed;
  }

  /** False, and nothing taken: the peer sent more than it may. */
  take(bytes: number): boolean {
    if (bytes > this.#remaining) return false;
    this.#remaining -= bytes;
    this.#unconsumed += bytes;
    return true;
  }

  /** `bytes` of the unconsumed have been used. */
  release(bytes: number): void {
    this.#unconsumed -= bytes;
  }

  /** SETTINGS_INITIAL_WINDOW_SIZE took effect. */
  shift(bytes: number): void {
    this.#remaining += bytes;
  }

  /**
   * The increment of the WINDOW_UPDATE that is due, 0 for none: it waits until the peer has used up half of what it
   * could have. Half of what it *could* have, not of `size`, or a connection full of unconsumed bytes never got one.
   */
  grant(): number {
    const target = Math.min(this.#size, this.#budget - this.#unconsumed);
    if (target <= this.#remaining || this.#remaining * 2 > target) return 0;
    const increment = target - this.#remaining;
    this.#remaining = target;
    return increment;
  }
}
