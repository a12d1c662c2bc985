/**
 * The node's metrics registry: what has an owner is read from it at each scrape, the rest is told when it happens. Names and labels come from the catalogue, and the compiler checks them.
 */
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import {
  type LabelsOf,
  meshCatalogue,
  type MeshCounter,
  type MeshMetric,
  type MetricSpec,
} from './catalogue.ts';
import { ReadCounter } from './read-counter.ts';

export interface Sample<Name extends MeshMetric> {
  readonly labels: LabelsOf<Name>;
  readonly value: number;
}

/** How often the event loop's delay is measured. Each time the process wakes up: at 10 ms that was 0.6 % of a core. */
const lagEveryMs = 100;

export class Metrics {
  readonly registry = new Registry();
  readonly #counters = new Map<MeshCounter, Counter>();
  readonly #beforeScrape: (() => void)[] = [];

  /** `runtime`: also the metrics of the process and of Node, which need timers and performance observers. */
  constructor({ runtime = false }: { readonly runtime?: boolean } = {}) {
    if (!runtime) return;
    collectDefaultMetrics({ register: this.registry, eventLoopMonitoringPrecision: lagEveryMs });
  }

  /** Names the owner of a metric. One that nobody owns is not exported, rather than being 0. */
  observe<Name extends MeshMetric>(name: Name, read: () => readonly Sample<Name>[]): void {
    if (meshCatalogue[name].type === 'counter') {
      this.registry.registerMetric(new ReadCounter({ ...config(name), read }));
      return;
    }
    const gauge = new Gauge({ ...config(name), registers: [this.registry] });
    this.beforeScrape(() => {
      gauge.reset();
      for (const { labels, value } of read()) gauge.set(labels, value);
    });
  }

  /** Adds to a counter that has no owner of its own. */
  count<Name extends MeshCounter>(name: Name, labels: LabelsOf<Name>, by = 1): void {
    let counter = this.#counters.get(name);
    if (counter === undefined) {
      counter = new Counter({ ...config(name), registers: [this.registry] });
      this.#counters.set(name, counter);
    }
    counter.inc(labels, by);
  }

  /** Work to do before values are read, such as sampling live connections. */
  beforeScrape(prepare: () => void): void {
    this.#beforeScrape.push(prepare);
  }

  /** The Prometheus text format, version 0.0.4. */
  async render(): Promise<string> {
    for (const prepare of this.#beforeScrape) prepare();
    return await this.registry.metrics();
  }
}

function config(name: MeshMetric): { name: string; help: string; labelNames: readonly string[] } {
  const { help, labels, stability }: MetricSpec = meshCatalogue[name];
  return { name, help: `${help} (${stability})`, labelNames: labels };
}
