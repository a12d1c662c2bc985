/** Load on a cluster in which nothing happens: what a request costs. */
import { load, type LoadOptions } from '../../support/rollout.ts';
import { bothSides, type ClusterRow, count, milliseconds } from '../row.ts';

type Where = 'near' | 'far';

const seconds = 8;
const kept: LoadOptions = { perSecond: 500, seconds, clients: 8, newConnections: false };
const fast: LoadOptions = { ...kept, perSecond: 0 };
const fresh: LoadOptions = { ...kept, perSecond: 200, newConnections: true };

const wording = { near: 'same node', far: 'other node' } as const;

const latency = (id: string, title: string, options: LoadOptions, where: Where): ClusterRow => ({
  id: `${id}-${where}`,
  title: `${title}, ${wording[where]}`,
  metrics: [milliseconds('p50', 'p50 ms'), milliseconds('p99', 'p99 ms'), count('failed', 'failed')],
  sides: bothSides,
  async measure(_stage, place) {
    const { p50Ms, p99Ms, failed } = await load(place.client, place[where], options);
    return { p50: p50Ms, p99: p99Ms, failed };
  },
});

const throughput = (where: Where): ClusterRow => ({
  id: `fast-${where}`,
  title: `HTTP, 8 kept connections, as fast as possible, ${wording[where]}`,
  metrics: [count('rate', 'requests/s'), count('failed', 'failed')],
  sides: bothSides,
  async measure(_stage, place) {
    const { perSecond, failed } = await load(place.client, place[where], fast);
    return { rate: perSecond, failed };
  },
});

const wheres: readonly Where[] = ['near', 'far'];

export const steadyRows: readonly ClusterRow[] = [
  ...wheres.map((where) => latency('kept', 'HTTP, 500 requests/s, 8 kept connections', kept, where)),
  ...wheres.map(throughput),
  ...wheres.map((where) => latency('fresh', 'a connection per request, 200/s', fresh, where)),
];
