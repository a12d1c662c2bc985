/**
 * Memory of an idle tunnel: many connections are opened, used once and left alone; the growth of the proxies' resident
 * memory is divided by their number. A first batch is not counted: it brings code and pools into memory.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { residentBytes } from '../cpu.ts';
import type { Row } from './row.ts';

const firstBatch = 1000;
const counted = 4000;
/** Idle means that: what opening them left behind is collected when nothing has happened for some seconds. */
const settleMs = 20_000;

export const idleRow: Row = {
  id: 'idle',
  title: `idle tunnel (${counted}), both ends`,
  metrics: [{ id: 'memory', unit: 'RSS KB each', digits: 1 }],
  variants: ['mesh', 'haproxy', 'ztunnel'],
  once: true,
  async measure(variant, { load, signal }) {
    const { client, host } = variant;
    const settle = (): Promise<void> => delay(settleMs, undefined, { signal });
    await using first = await load.hold(client, host, firstBatch);
    await settle();
    const before = residentBytes(variant.proxies());
    await using more = await load.hold(client, host, counted);
    await settle();
    const after = residentBytes(variant.proxies());
    void [first, more];
    return { memory: (after - before) / 1024 / counted };
  },
};
