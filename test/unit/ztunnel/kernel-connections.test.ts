/** Connections that the kernel carries by itself: who is ended by a change, and what is told of them. */
import { describe, expect, it } from '@jest/globals';
import type { EndedBatch } from '../../../src/datapath/kernel-path/ended-batch.ts';
import type { KernelConnection } from '../../../src/datapath/kernel-path/kernel-path.ts';
import type { ConnectionRecord } from '../../../src/model/connection.ts';
import type { NodeName, WorkloadUid } from '../../../src/model/mesh.ts';
import { type AuthorizationPolicy, policyKey } from '../../../src/model/policy.ts';
import { createAuthorizer } from '../../../src/policy/authorize.ts';
import { bothSides, kernelIds, liveOnBothSides } from '../../../src/ztunnel/both-sides.ts';
import { KernelConnections } from '../../../src/ztunnel/kernel-connections.ts';
import { endedBatch, endedRecord } from '../../support/ended-batch.ts';
import { at, meshOf, pod, service } from '../../support/mesh-builder.ts';

const web = pod('shop/web', { ips: ['10.0.0.1'] });
const guest = pod('other/guest', { ips: ['10.0.0.3'] });
const cart = pod('shop/cart', { ips: ['10.0.0.2'] });
const workloads = [web, guest, cart];

const deny = (namespaces: readonly string[]): AuthorizationPolicy => ({
  key: policyKey('shop', 'deny'),
  namespace: 'shop',
  name: 'deny',
  action: 'deny',
  scope: { type: 'namespace' },
  rules: [{ from: [{ namespaces }] }],
});

const from = (source: string, sourceUid: WorkloadUid | undefined, cookie: bigint): KernelConnection => ({
  source: at(source),
  destination: at('10.0.0.2:80'),
  dialled: undefined,
  sourcePodId: Number(cookie),
  sourceUid,
  destinationUid: cart.uid,
  openedAt: 0n,
  cookie,
  isAdmitted: true,
  isAccelerated: false,
});

function setup(live: readonly KernelConnection[]) {
  const mesh = meshOf({ workloads });
  const records: ConnectionRecord[] = [];
  const cut: bigint[] = [];
  const nextId = kernelIds(0);
  const connections = new KernelConnections({
    mesh,
    node: 'node-a' as NodeName,
    authorizer: createAuthorizer(),
    ledger: bothSides({ opened: () => {}, completed: (record) => records.push(record) }, nextId),
    nextId,
    clock: { now: () => 10_000 },
    kernel: {
      connections: () => live,
      cut(doomed) {
        cut.push(...doomed.map(({ cookie }) => cookie));
        return Promise.resolve();
      },
    },
    monotonicNs: () => 4_000_000_000n,
    wereCut: () => {},
  });
  const enact = (...policies: readonly AuthorizationPolicy[]): void =>
    mesh.replace({ workloads, services: [], policies, peerAuthentications: [] });
  return { mesh, records, cut, connections, enact };
}

/** The end of one: over for 100 ms, 900 ms long. */
const ended = ({
  source,
  destination,
  dialled,
  sourceUid,
  cookie,
  isAccelerated,
}: KernelConnection): EndedBatch =>
  endedBatch(
    [
      endedRecord(0, {
        openedAt: 3_000_000_000,
        endedAt: 3_900_000_000,
        socketCookie: cookie,
        flow: {
          sourceIp: source.ip,
          sourcePort: source.port,
          destinationIp: destination.ip,
          destinationPort: destination.port,
        },
        originalIp: dialled?.ip,
        originalPort: dialled?.port ?? 0,
        accelerated: isAccelerated,
      }),
    ],
    { nowNs: 4_000_000_000, uidOf: () => sourceUid },
  );

const ofWeb = from('10.0.0.1:4001', web.uid, 1n);
const ofGuest = from('10.0.0.3:4002', guest.uid, 2n);

describe('a change that denies some', () => {
  it('ends those, and those only', () => {
    const { cut, enact } = setup([ofWeb, ofGuest]);
    enact(deny(['other']));
    expect(cut).toEqual([2n]);
  });

  it('is told of in both records of the connection', () => {
    const { records, enact, connections } = setup([ofGuest]);
    enact(deny(['other']));
    connections.ended(ended(ofGuest));
    expect(records.map(({ direction, error }) => [direction, error?.code])).toEqual([
      ['inbound', 'POLICY_DENIED'],
      ['outbound', 'POLICY_DENIED'],
    ]);
    expect(records[0]).toMatchObject({ path: 'kernel', verdict: { allowed: false, policy: 'shop/deny' } });
    expect(records[0]?.error?.message).toMatch(/^late denial: policy shop\/deny/);
  });

  it('ends what nobody can be asked about any more', () => {
    const { cut, enact } = setup([from('10.0.0.9:4003', undefined, 3n)]);
    enact(deny(['other']));
    expect(cut).toEqual([3n]);
  });

  it('leaves alone what reaches a pod that has left the mesh', () => {
    const { cut, enact } = setup([{ ...ofGuest, destinationUid: undefined }]);
    enact(deny(['other']));
    expect(cut).toEqual([]);
  });
});

it('while nobody was there to follow the mesh, it may have changed: all are judged when told', () => {
  const { cut, connections, enact } = setup([]);
  enact(deny(['other']));
  expect(cut).toEqual([]);
  const late = setup([ofGuest]);
  late.enact();
  late.connections.judge(late.mesh.view);
  expect(late.cut).toEqual([]);
  connections.stop();
});

describe('connections that are open', () => {
  it('are told with whose they are, once the kernel has let them in', () => {
    const { connections } = setup([ofWeb, { ...ofGuest, isAdmitted: false }]);
    expect(connections.live()).toEqual([
      expect.objectContaining({ id: 's-1', path: 'kernel', openedAt: 6000, direction: 'inbound' }),
    ]);
    expect(connections.live()[0]?.source).toMatchObject({ identity: web.identity });
  });

  it('are told on both sides, as those that have ended, and whether they are accelerated', () => {
    const { connections } = setup([ofWeb, { ...ofGuest, isAccelerated: true }]);
    const told = liveOnBothSides(connections.live());
    expect(told.map(({ id, direction, accelerated }) => [id, direction, accelerated])).toEqual([
      ['s-1', 'inbound', false],
      ['s-1-source', 'outbound', false],
      ['s-2', 'inbound', true],
      ['s-2-source', 'outbound', true],
    ]);
    expect(liveOnBothSides(told.map((one) => ({ ...one, path: 'tunnel' as const })))).toHaveLength(4);
  });

  it('to a Service are told with it', () => {
    const { mesh, connections } = setup([{ ...ofWeb, dialled: at('10.96.0.1:80') }]);
    const shop = service('shop/cart', '10.96.0.1', '80:80', [{ address: '10.0.0.2' }]);
    mesh.replace({ workloads, services: [shop], policies: [], peerAuthentications: [] });
    expect(connections.live()).toMatchObject([
      {
        service: 'shop/cart',
        originalDestination: at('10.96.0.1:80'),
        destination: { address: at('10.0.0.2:80') },
      },
    ]);
  });
});

describe('a connection that has ended', () => {
  it('is told once for each side, with whose it was and what went through', () => {
    const { records, connections } = setup([]);
    connections.ended(ended(ofWeb));
    expect(records).toHaveLength(2);
    expect(records[0]).toMatchObject({
      id: 'k-0',
      direction: 'inbound',
      path: 'kernel',
      source: { identity: web.identity, workload: { name: 'web' } },
      destination: { identity: cart.identity, workload: { name: 'cart' } },
      openedAt: 9000,
      durationMs: 900,
      bytesSent: 10,
      bytesReceived: 20,
      error: undefined,
      verdict: { allowed: true },
      kernel: { rttMs: 0.05, retransmits: 1 },
      accelerated: false,
    });
    expect(records[1]).toMatchObject({ id: 'k-1', direction: 'outbound', traceId: records[0]?.traceId });
    expect(records[1]?.verdict).toBeUndefined();
  });

  it('before a change that would have denied it was allowed, although it is told of later', () => {
    const { records, enact, connections } = setup([]);
    enact(deny(['other']));
    connections.ended(ended(ofGuest));
    expect(records[0]).toMatchObject({ error: undefined, verdict: { allowed: true, policy: undefined } });
  });

  it('to a Service is told with it, and with what was dialled', () => {
    const { records, mesh, connections } = setup([]);
    const shop = service('shop/cart', '10.96.0.1', '80:80', [{ address: '10.0.0.2' }]);
    mesh.replace({ workloads, services: [shop], policies: [], peerAuthentications: [] });
    connections.ended(ended({ ...ofWeb, dialled: at('10.96.0.1:80') }));
    expect(records).toHaveLength(2);
    for (const record of records) {
      expect(record).toMatchObject({
        service: 'shop/cart',
        originalDestination: at('10.96.0.1:80'),
        destination: { address: at('10.0.0.2:80'), workload: { name: 'cart' } },
      });
    }
  });

  it('of a pod that is gone has its address, and no identity', () => {
    const { records, connections } = setup([]);
    connections.ended(ended({ ...ofWeb, sourceUid: 'gone' as WorkloadUid }));
    expect(records[0]?.source).toMatchObject({
      address: ofWeb.source,
      identity: undefined,
      workload: undefined,
    });
  });
});
