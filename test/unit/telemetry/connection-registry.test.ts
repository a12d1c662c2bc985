import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import type { ConnectionId } from '../../../src/model/connection.ts';
import { connectionsBody } from '../../../src/telemetry/connection-items.ts';
import { ConnectionRegistry } from '../../../src/telemetry/connection-registry.ts';
import { failure, peer, record, web, workload } from './records.ts';

const ids = (registry: ConnectionRegistry, query = {}): string[] =>
  registry.recent(query).records.map((kept) => kept.record.id);

describe('the registry of connections', () => {
  it('shows a connection as live until its record arrives, and then as recent', () => {
    const registry = new ConnectionRegistry();
    const story = record();
    registry.opened({ id: story.id, summary: () => story });
    expect(registry.live().map((live) => live.id)).toEqual([story.id]);
    registry.completed(story);
    expect(registry.live()).toEqual([]);
    expect(ids(registry)).toEqual([story.id]);
  });

  it('reads the byte counters of a live connection each time it is asked', () => {
    const registry = new ConnectionRegistry();
    let bytesSent = 1;
    registry.opened({ id: record().id, summary: () => record({ bytesSent }) });
    expect(registry.live()[0]?.bytesSent).toBe(1);
    bytesSent = 77;
    expect(registry.live()[0]?.bytesSent).toBe(77);
  });

  it('keeps a failure although the same pod then makes thousands of good connections', () => {
    const registry = new ConnectionRegistry({ capacityPerPod: 10 });
    const denied = record({ error: failure('POLICY_DENIED', 'policy') });
    registry.completed(denied);
    for (let i = 0; i < 5000; i++) registry.completed(record());
    expect(ids(registry, { failed: true })).toEqual([denied.id]);
  });

  it('keeps what a quiet pod did although a busy pod fills the memory', () => {
    const registry = new ConnectionRegistry({ capacity: 50, capacityPerPod: 1000 });
    const quiet = record({ source: peer('10.0.0.9:1', workload('blog', 'quiet-1')) });
    registry.completed(quiet);
    for (let i = 0; i < 500; i++) registry.completed(record());
    expect(ids(registry, { namespace: 'blog' })).toEqual([quiet.id]);
  });

  it('finds by namespace, pod and owner on either side, but not by mixing the sides', () => {
    const registry = new ConnectionRegistry();
    const story = record({ destination: peer('10.0.1.8:80', workload('blog', 'front-1')) });
    registry.completed(story);
    for (const found of [
      { namespace: 'shop' },
      { pod: 'front-1' },
      { pod: 'front' },
      { namespace: 'blog', pod: 'front' },
    ]) {
      expect(ids(registry, found)).toEqual([story.id]);
    }
    expect(ids(registry, { namespace: 'shop', pod: 'front' })).toEqual([]);
    expect(ids(registry, { namespace: 'other' })).toEqual([]);
  });

  it('tells failed from denied, and a reset by the application from both', () => {
    const registry = new ConnectionRegistry();
    const denied = record({ error: failure('POLICY_DENIED', 'policy') });
    const failed = record({ error: failure('DIAL_FAILED') });
    const reset = record({ error: failure('APPLICATION_RESET', 'relay') });
    for (const one of [denied, failed, reset, record()]) registry.completed(one);
    expect(ids(registry, { denied: true })).toEqual([denied.id]);
    expect(ids(registry, { failed: true })).toEqual([denied.id, failed.id]);
  });

  it('finds what policies in dry run would refuse', () => {
    const registry = new ConnectionRegistry();
    const rehearsed = { allowed: false, policy: undefined, reason: 'no rule' };
    const allowed = { allowed: true, policy: undefined, reason: 'no policy applies' };
    const found = record({ verdict: { ...allowed, dryRun: rehearsed } });
    const other = record({
      verdict: { ...rehearsed, dryRun: allowed },
      error: failure('POLICY_DENIED', 'policy'),
    });
    for (const one of [found, other, record()]) registry.completed(one);
    expect(ids(registry, { dryRunDenied: true })).toEqual([found.id]);
  });

  it('goes on from what an earlier process remembered', () => {
    const registry = new ConnectionRegistry();
    registry.restore([
      { sequence: 9, record: record() },
      { sequence: 7, record: record() },
      { sequence: 7, record: record() },
    ]);
    registry.completed(record());
    expect(registry.recent().records.map(({ sequence }) => sequence)).toEqual([7, 9, 10]);
    expect(registry.recent({ after: 9 })).toMatchObject({ last: 10, lost: 0 });
  });

  it('counts "since" from the end of a connection, so a long one that just failed is found', () => {
    const registry = new ConnectionRegistry();
    const long = record({ openedAt: 1000, durationMs: 60_000, error: failure('DIAL_FAILED') });
    registry.completed(long);
    expect(ids(registry, { since: 61_000 })).toEqual([long.id]);
    expect(ids(registry, { since: 61_001 })).toEqual([]);
  });

  it('finds by the beginning of an id or of a trace id', () => {
    const registry = new ConnectionRegistry();
    const one = record({ id: 'c-81f2' as ConnectionId, traceId: '0af7651916cd43dd8448eb211c80319c' });
    const other = record({ id: 'c-9' as ConnectionId, traceId: undefined });
    for (const each of [one, other]) registry.completed(each);
    expect(ids(registry, { id: 'c-81f2' })).toEqual([one.id]);
    expect(ids(registry, { id: 'c-' })).toEqual([one.id, other.id]);
    expect(ids(registry, { id: '0af76519' })).toEqual([one.id]);
    expect(ids(registry, { id: '81f2' })).toEqual([]);
  });

  it('tells a follower exactly how many records it missed', () => {
    const registry = new ConnectionRegistry({ capacityPerPod: 5 });
    registry.completed(record());
    const { last } = registry.recent();
    for (let i = 0; i < 8; i++) registry.completed(record());
    const next = registry.recent({ after: last });
    expect(next.records).toHaveLength(5);
    expect(next.lost).toBe(3);
    expect(registry.recent({ after: next.last })).toMatchObject({ records: [], lost: 0 });
  });

  it('answers the newest when there are more than the limit, and none for a limit of 0', () => {
    const registry = new ConnectionRegistry();
    const all = Array.from({ length: 5 }, () => record());
    for (const one of all) registry.completed(one);
    expect(ids(registry, { limit: 2 })).toEqual(all.slice(-2).map((one) => one.id));
    expect(ids(registry, { limit: 0 })).toEqual([]);
  });

  it('never holds more than its bounds, whatever is thrown at it', () => {
    const event = fc.record({ pod: fc.nat(20), bad: fc.boolean(), inbound: fc.boolean() });
    fc.assert(
      fc.property(
        fc.array(event, { maxLength: 400 }),
        fc.integer({ min: 1, max: 60 }),
        (events, capacity) => {
          const registry = new ConnectionRegistry({ capacity, capacityPerPod: 7 });
          for (const { pod, bad, inbound } of events) {
            const own = workload('ns', `pod-${pod}`);
            registry.completed(
              record({
                direction: inbound ? 'inbound' : 'outbound',
                source: peer('10.0.0.1:1', inbound ? web : own),
                destination: peer('10.0.0.2:2', inbound ? own : web),
                error: bad ? failure('DIAL_FAILED') : undefined,
              }),
            );
          }
          const { records, lost, last } = registry.recent();
          expect(records.length).toBe(registry.keptCount);
          expect(records.length).toBeLessThanOrEqual(capacity);
          expect(lost + records.length).toBe(events.length);
          expect(last).toBe(events.length);
          const sequences = records.map((kept) => kept.sequence);
          expect(sequences).toEqual([...new Set(sequences)].toSorted((a, b) => a - b));
          const perPod = Map.groupBy(
            records,
            (kept) =>
              `${kept.record.error === undefined}${kept.record.direction === 'inbound' ? kept.record.destination.workload?.uid : kept.record.source.workload?.uid}`,
          );
          for (const kept of perPod.values()) expect(kept.length).toBeLessThanOrEqual(7);
        },
      ),
    );
  });

  it('is told to the CLI without undefined values, so that "none" is always null', () => {
    const registry = new ConnectionRegistry();
    const story = record({
      source: peer('10.0.0.9:40000'),
      hboneAddress: undefined,
      service: undefined,
      verdict: undefined,
      traceId: undefined,
      error: { code: 'UNKNOWN_SOURCE', hop: 'capture', message: 'who?', hint: undefined },
    });
    registry.opened({ id: 'c-live' as typeof story.id, summary: () => story });
    registry.completed(story);
    const body = connectionsBody(registry, {});
    expect(JSON.parse(JSON.stringify(body))).toEqual(body);
    expect(body.recent[0]).toMatchObject({
      outcome: 'failed',
      error: { hint: null },
      source: { workload: null },
    });
    expect(body.live[0]).toMatchObject({ outcome: null, durationMs: null, error: null });
    expect(connectionsBody(registry, { only: 'live' }).recent).toEqual([]);
    expect(connectionsBody(registry, { only: 'recent' }).live).toEqual([]);
  });
});
