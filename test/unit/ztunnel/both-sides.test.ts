/** Of a connection within a node both sides are told, from its beginning on. */
import { describe, expect, it } from '@jest/globals';
import type {
  ConnectionId,
  ConnectionPath,
  ConnectionRecord,
  Direction,
} from '../../../src/model/connection.ts';
import { policyKey } from '../../../src/model/policy.ts';
import type { LiveConnection } from '../../../src/ztunnel/account.ts';
import { bothSides, kernelIds } from '../../../src/ztunnel/both-sides.ts';
import { at, pod } from '../../support/mesh-builder.ts';

const peer = (name: string, ip: string) => {
  const workload = pod(name, { ips: [ip] });
  return { address: at(`${ip}:80`), workload, identity: workload.identity };
};

const facts = (path: ConnectionPath, direction: Direction = 'inbound') => ({
  direction,
  path,
  source: peer('shop/web', '10.0.0.1'),
  destination: peer('shop/cart', '10.0.0.2'),
  originalDestination: at('10.0.0.2:80'),
  hboneAddress: undefined,
  service: undefined,
  verdict: { allowed: true, policy: policyKey('shop', 'callers'), reason: 'rule 1' },
  traceId: '0af7651916cd43dd8448eb211c80319c',
});

function setup(path: ConnectionPath, direction?: Direction) {
  const live: Pick<LiveConnection, 'id' | 'summary'>[] = [];
  const records: ConnectionRecord[] = [];
  const ledger = bothSides(
    { opened: (connection) => void live.push(connection), completed: (record) => void records.push(record) },
    kernelIds(0),
  );
  let bytesSent = 1;
  const id = 'c-1' as ConnectionId;
  const told = facts(path, direction);
  const summary = () => ({ ...told, id, openedAt: 0, bytesSent, bytesReceived: 0 });
  const connection: LiveConnection = { id, summary, facts: told, meshVersion: 1, revoke: () => {} };
  const moved = (bytes: number): void => void (bytesSent = bytes);
  const end = (): void => ledger.completed({ ...summary(), durationMs: 5, error: undefined });
  return { ledger, live, records, connection, moved, end };
}

describe('a connection within the node that ztunnel carries', () => {
  it('is told on both sides while it is open, and the source’s has no verdict', () => {
    const { ledger, live, connection, moved } = setup('local');
    ledger.opened(connection);
    moved(77);
    expect(live.map((one) => one.summary())).toMatchObject([
      { id: 'c-1', direction: 'inbound', verdict: { allowed: true }, bytesSent: 77 },
      { id: 'k-0', direction: 'outbound', verdict: undefined, bytesSent: 77, path: 'local' },
    ]);
  });

  it('ends under the ids it had', () => {
    const { ledger, records, connection, end } = setup('local');
    ledger.opened(connection);
    end();
    expect(records.map(({ id, direction }) => [id, direction])).toEqual([
      ['c-1', 'inbound'],
      ['k-0', 'outbound'],
    ]);
  });

  it('is told on both sides at its end, too, if it never was open', () => {
    const { live, records, end } = setup('local');
    end();
    expect(live).toEqual([]);
    expect(records.map(({ id }) => id)).toEqual(['c-1', 'k-0']);
  });
});

it.each([
  ['tunnel', 'inbound'],
  ['direct', 'inbound'],
  ['direct', 'outbound'],
  ['tunnel', 'outbound'],
] as const)('a %s connection, %s, has one side here', (path, direction) => {
  const { ledger, live, records, connection, end } = setup(path, direction);
  ledger.opened(connection);
  end();
  expect([live.length, records.length]).toEqual([1, 1]);
});
