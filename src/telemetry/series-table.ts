/**
 * Counters by label tuple, with a budget. The busiest tuples have a series each; everything beyond the budget is
 * counted together under "other", so that no traffic pattern can grow the node's memory or its scrape without bound.
 * Callers keep the series they were given and add to plain numbers: no label is hashed on the data path.
 */
export interface Series<Labels, Value extends string> {
  readonly labels: Labels;
  readonly values: Record<Value, number>;
}

export interface SeriesTableOptions<Labels, Value extends string> {
  readonly valueNames: readonly Value[];
  /** Series besides "other". */
  readonly budget: number;
  /** The tuple that stands for all that have no series of their own. */
  readonly other: (labels: Labels) => Labels;
}

export interface HeldSeries<Labels, Value extends string> extends Series<Labels, Value> {
  /** Holders that will still add to it; a series that is held stays. */
  holders: number;
}

interface Entry<Labels, Value extends string> extends HeldSeries<Labels, Value> {
  /** How busy: uses, halved at every `rebalance`. */
  weight: number;
}

interface Waiting<Labels> {
  readonly labels: Labels;
  weight: number;
}

export class SeriesTable<Labels extends Readonly<Record<string, string>>, Value extends string> {
  readonly #options: SeriesTableOptions<Labels, Value>;
  readonly #entries = new Map<string, Entry<Labels, Value>>();
  readonly #others = new Map<string, Entry<Labels, Value>>();
  /** Tuples without a series, at most as many as there are series. */
  readonly #waiting = new Map<string, Waiting<Labels>>();
  #overflows = 0;

  constructor(options: SeriesTableOptions<Labels, Value>) {
    this.#options = options;
  }

  /** Uses that were counted under "other". */
  get overflows(): number {
    return this.#overflows;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The series to add to, now. Call `hold` to keep adding later. */
  use(labels: Labels): Series<Labels, Value> {
    return this.#entryOf(labels);
  }

  #entryOf(labels: Labels): Entry<Labels, Value> {
    const key = Object.values(labels).join('\u0000');
    const entry = this.#entries.get(key) ?? this.#admit(key, labels);
    entry.weight += 1;
    return entry;
  }

  /** The series to add to until it is `release`d. */
  hold(labels: Labels): HeldSeries<Labels, Value> {
    const entry = this.#entryOf(labels);
    entry.holders += 1;
    return entry;
  }

  release(held: HeldSeries<Labels, Value>): void {
    held.holders -= 1;
  }

  all(): readonly Series<Labels, Value>[] {
    return [...this.#entries.values(), ...this.#others.values()];
  }

  /**
   * Gives the series of idle tuples to busier ones that wait; a reader sees the old series end. To be called about
   * once a minute: a tuple must be twice as busy as the one it displaces, so that series do not flap.
   */
  rebalance(): void {
    const idle = [...this.#entries]
      .filter(([, e]) => e.holders === 0)
      .toSorted(([, a], [, b]) => a.weight - b.weight);
    const busy = [...this.#waiting].toSorted(([, a], [, b]) => b.weight - a.weight);
    for (const [i, [key, { labels, weight }]] of busy.entries()) {
      const victim = idle[i];
      if (victim === undefined || weight <= 2 * victim[1].weight) break;
      this.#entries.delete(victim[0]);
      this.#waiting.delete(key);
      this.#entries.set(key, this.#create(labels, weight));
    }
    for (const entry of this.#entries.values()) entry.weight /= 2;
    this.#decayWaiting();
  }

  #admit(key: string, labels: Labels): Entry<Labels, Value> {
    if (this.#entries.size < this.#options.budget) {
      const entry = this.#create(labels, 0);
      this.#entries.set(key, entry);
      return entry;
    }
    this.#wait(key, labels);
    this.#overflows += 1;
    return this.#other(labels);
  }

  #wait(key: string, labels: Labels): void {
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) waiting.weight += 1;
    else if (this.#waiting.size < this.#options.budget) this.#waiting.set(key, { labels, weight: 1 });
  }

  #decayWaiting(): void {
    for (const [key, waiting] of this.#waiting) {
      waiting.weight /= 2;
      if (waiting.weight < 1) this.#waiting.delete(key);
    }
  }

  #other(labels: Labels): Entry<Labels, Value> {
    const folded = this.#options.other(labels);
    const key = Object.values(folded).join('\u0000');
    const entry = this.#others.get(key) ?? this.#create(folded, 0);
    this.#others.set(key, entry);
    return entry;
  }

  #create(labels: Labels, weight: number): Entry<Labels, Value> {
    const values = Object.fromEntries(this.#options.valueNames.map((name) => [name, 0]));
    return { labels, values: values as Record<Value, number>, weight, holders: 0 };
  }
}
