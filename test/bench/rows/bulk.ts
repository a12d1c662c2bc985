/** Bulk transfer with iperf3: throughput, and the proxies' CPU for each gigabyte (10^9 bytes). */
import { setTimeout as delay } from 'node:timers/promises';
import type { LabPod } from '../lab.ts';
import { bulkPort } from '../manifest.ts';
import { output } from '../process.ts';
import { cpuPerGigabyte, type Row, withCpu } from './row.ts';

const patienceMs = 15_000;

export interface Bulk {
  readonly host: string;
  readonly direction: 'up' | 'down';
  readonly connections: number;
  readonly seconds: number;
}

export interface BulkResult {
  readonly gigabits: number;
  readonly gigabytes: number;
}

export const bulkRow = (direction: Bulk['direction'], connections: number): Row => ({
  id: `${direction}-${connections}`,
  title: `bulk ${direction}, ${connections} connection${connections === 1 ? '' : 's'}`,
  metrics: [{ id: 'rate', unit: 'Gbit/s', digits: 1 }, cpuPerGigabyte],
  async measure(variant, { seconds, signal }) {
    const { host, client } = variant;
    const run = (): Promise<BulkResult> => runBulk(client, { host, direction, connections, seconds }, signal);
    const { result, cpu } = await withCpu(variant, run);
    return { rate: result.gigabits, ...(cpu === undefined ? {} : { cpu: cpu / result.gigabytes }) };
  },
});

/** iperf3's server takes one test at a time, and needs a moment to notice that the last one is over. */
const busyTries = 5;

export async function runBulk(client: LabPod, bulk: Bulk, signal: AbortSignal): Promise<BulkResult> {
  const place = ['--client', bulk.host, '--port', String(bulkPort)];
  const size = ['--time', String(bulk.seconds), '--parallel', String(bulk.connections)];
  const reverse = bulk.direction === 'down' ? ['--reverse'] : [];
  const argv = client.command(['iperf3', ...place, ...size, ...reverse, '--json']);
  for (let tried = 1; ; tried++) {
    try {
      return parseBulk(await output(argv, bulk.seconds * 1000 + patienceMs, signal));
    } catch (error) {
      if (tried === busyTries || !String(error).includes('server is busy')) throw error;
      await delay(500, undefined, { signal });
    }
  }
}

interface Iperf {
  readonly error?: string;
  readonly end?: { readonly sum_received?: { readonly bytes: number; readonly bits_per_second: number } };
}

/** @throws Error when iperf3 reports one, or nothing arrived */
export function parseBulk(json: string): BulkResult {
  const { error, end } = JSON.parse(json) as Iperf;
  const received = end?.sum_received;
  if (error !== undefined) throw new Error(`iperf3: ${error}`);
  if (received === undefined || received.bytes === 0) throw new Error('iperf3: nothing arrived');
  return { gigabits: received.bits_per_second / 1e9, gigabytes: received.bytes / 1e9 };
}
