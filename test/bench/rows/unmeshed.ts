/**
 * What being enrolled costs connections that the mesh does not carry: the same unmeshed server, dialled from an
 * unmeshed pod and from an enrolled one. Only the kernel hooks are in the way.
 */
import { runBulk } from './bulk.ts';
import type { Row } from './row.ts';

export const unmeshedConnectRow: Row = {
  id: 'unmeshed-connect',
  title: 'unmeshed destination: connect()',
  metrics: [{ id: 'p50', unit: 'p50 µs', digits: 2 }],
  variants: ['none', 'mesh'],
  turns: 5,
  async measure({ client }, { load, seconds, unmeshedHost: host, signal }) {
    const { p50 } = await load.run(client, { mode: 'connect', host, connections: 1, seconds }, signal);
    return { p50 };
  },
};

export const unmeshedBulkRow: Row = {
  id: 'unmeshed-bulk',
  title: 'unmeshed destination: bulk up, 1 connection',
  metrics: [{ id: 'rate', unit: 'Gbit/s', digits: 1 }],
  variants: ['none', 'mesh'],
  turns: 3,
  async measure({ client }, { seconds: wanted, unmeshedHost: host, signal }) {
    // iperf3 counts whole seconds.
    const seconds = Math.max(1, Math.round(wanted));
    const bulk = { host, direction: 'up', connections: 1, seconds } as const;
    return { rate: (await runBulk(client, bulk, signal)).gigabits };
  },
};
