/** Small messages: round trips of 64 bytes on open connections, and short connections with one round trip each. */
import { cpuEach, type Row, withCpu } from './row.ts';

const rate = { id: 'rate', unit: '1/s', digits: 0 };
const p50 = { id: 'p50', unit: 'p50 µs', digits: 0 };
const p99 = { id: 'p99', unit: 'p99 µs', digits: 0 };

export const roundTripRow = (connections: number): Row => ({
  id: `ping-${connections}`,
  title: `64-byte round trips, ${connections} connection${connections === 1 ? '' : 's'}`,
  metrics: [rate, p50, p99, cpuEach],
  measure: measure('ping', connections),
});

export const shortRow = (atATime: number): Row => ({
  id: `short-${atATime}`,
  title: `short connections, ${atATime} at a time`,
  metrics: [rate, p50, cpuEach],
  measure: measure('short', atATime),
});

const measure =
  (mode: 'ping' | 'short', connections: number): Row['measure'] =>
  async (variant, { load, seconds, signal }) => {
    const { host, client } = variant;
    const { result, cpu } = await withCpu(variant, () =>
      load.run(client, { mode, host, connections, seconds }, signal),
    );
    return {
      rate: result.operations / result.seconds,
      p50: result.p50,
      p99: result.p99,
      ...(cpu === undefined ? {} : { cpu: (cpu * 1e6) / result.operations }),
    };
  };
