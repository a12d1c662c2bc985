/** A prom-client counter whose values belong to somebody else and are read at each scrape, instead of being kept twice. */
import { Counter } from 'prom-client';

export interface CounterValue {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface ReadCounterOptions {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
  /** Must never answer less for the same labels than before. */
  readonly read: () => readonly CounterValue[];
}

type Snapshot = Awaited<ReturnType<Counter['get']>>;

export class ReadCounter extends Counter {
  readonly #options: ReadCounterOptions;

  constructor(options: ReadCounterOptions) {
    super({ name: options.name, help: options.help, labelNames: options.labelNames, registers: [] });
    this.#options = options;
  }

  override get(): Promise<Snapshot> {
    return this.#snapshot(this.#options.read());
  }

  /**
   * What prom-client asks for instead of `get` when it writes text. It remembers the text of "shared" labels by
   * identity, so labels that stay the same object from scrape to scrape are formatted once.
   */
  getForPromString(): Promise<Snapshot> {
    return this.#snapshot(this.#options.read().map(({ labels, value }) => ({ sharedLabels: labels, value })));
  }

  #snapshot(values: readonly object[]): Promise<Snapshot> {
    const { name, help } = this.#options;
    // The declared enum of metric types does not exist at run time; prom-client itself answers with this string.
    const snapshot: unknown = { name, help, type: 'counter', values, aggregator: 'sum' };
    return Promise.resolve(snapshot as Snapshot);
  }
}
