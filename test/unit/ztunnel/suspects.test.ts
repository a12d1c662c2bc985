import { describe, expect, it } from '@jest/globals';
import { type ErrorCode, MeshError } from '../../../src/base/errors.ts';
import { type IpAddress, parseIp } from '../../../src/base/ip.ts';
import type { ConnectionObserver, Route } from '../../../src/net/engine.ts';
import { Learning, Suspects } from '../../../src/ztunnel/suspects.ts';
import { at } from '../../support/mesh-builder.ts';

const route: Route = { type: 'direct', target: at('10.244.2.7:8080'), source: undefined };
const { ip } = route.target;

function setup() {
  let now = 0;
  const suspects = new Suspects(() => now);
  const told: string[] = [];
  const observer: ConnectionObserver = {
    established: () => told.push('established'),
    routeFailed: () => told.push('failed'),
    routeSlow: () => told.push('slow'),
    finished: () => told.push('finished'),
  };
  const counted: string[] = [];
  const troubles = {
    failed: (code: ErrorCode) => counted.push(code),
    slow: () => counted.push('slow'),
  };
  const watched = new Learning({ suspects, troubles }, observer);
  const fail = (code: ErrorCode, details = {}): void =>
    watched.routeFailed(route, { hop: 'dial', error: new MeshError(code, 'no', { details }) });
  return { suspects, watched, fail, told, counted, wait: (ms: number) => (now += ms) };
}

describe('an endpoint', () => {
  it('that failed a connection is suspect for ten seconds', () => {
    const { suspects, fail, wait } = setup();
    fail('DIAL_FAILED');
    wait(9999);
    expect(suspects.has(ip)).toBe(true);
    wait(1);
    expect(suspects.has(ip)).toBe(false);
  });

  it('that is slow to answer is suspect too', () => {
    const { suspects, watched } = setup();
    watched.routeSlow(route);
    expect(suspects.has(ip)).toBe(true);
  });

  it('that answers is not suspect any more', () => {
    const { suspects, watched, fail } = setup();
    fail('DIAL_FAILED');
    watched.established(route, { counts: () => ({ sent: 0, received: 0 }), close: () => {} });
    expect(suspects.has(ip)).toBe(false);
  });

  it.each<[ErrorCode, object]>([
    ['TLS_FAILED', {}],
    ['PEER_IDENTITY', {}],
    ['PEER_GONE', {}],
    ['CONNECT_REFUSED', { status: '503' }],
  ])('is to blame for %s %j', (code, details) => {
    const { suspects, fail } = setup();
    fail(code, details);
    expect(suspects.has(ip)).toBe(true);
  });

  it.each<[ErrorCode, object]>([
    ['CERTIFICATE_UNAVAILABLE', {}],
    ['SYSCALL', {}],
    ['OVERLOADED', {}],
    ['CONNECT_REFUSED', { status: '401' }],
  ])('is not to blame for %s %j', (code, details) => {
    const { suspects, fail } = setup();
    fail(code, details);
    expect(suspects.has(ip)).toBe(false);
  });
});

it('what becomes of a connection is told on, and its troubles are counted', () => {
  const { watched, fail, told, counted } = setup();
  watched.routeSlow(route);
  fail('DIAL_FAILED');
  watched.finished({ counts: { sent: 0, received: 0 }, failure: undefined });
  expect(told).toEqual(['slow', 'failed', 'finished']);
  expect(counted).toEqual(['slow', 'DIAL_FAILED']);
});

const address = (n: number): IpAddress => parseIp(`10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`);

it('however many fail, the memory of them is bounded, and the newest count', () => {
  const { suspects } = setup();
  for (let n = 0; n < 10_000; n++) suspects.add(address(n));
  const remembered = Array.from({ length: 10_000 }, (_, n) => n).filter((n) => suspects.has(address(n)));
  expect(remembered).toHaveLength(4096);
  expect(remembered[0]).toBe(10_000 - 4096);
});
