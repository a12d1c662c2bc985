/** Connections for the telemetry tests: a client pod `shop/cart-1` that talks to `shop/web-1` through Service `web`. */
import { parseSocketAddress } from '../../../src/base/ip.ts';
import type {
  ConnectionFailure,
  ConnectionId,
  ConnectionPeer,
  ConnectionRecord,
} from '../../../src/model/connection.ts';
import { spiffeId, type TrustDomain } from '../../../src/model/identity.ts';
import {
  type NodeName,
  type Service,
  serviceKey,
  type Workload,
  type WorkloadUid,
} from '../../../src/model/mesh.ts';
import type { Clock } from '../../../src/base/clock.ts';

export function workload(namespace: string, name: string, extra: Partial<Workload> = {}): Workload {
  const serviceAccount = name.replace(/-\w+$/, '');
  return {
    uid: `uid-${namespace}-${name}` as WorkloadUid,
    namespace,
    name,
    serviceAccount,
    identity: spiffeId({ trustDomain: 'cluster.local' as TrustDomain, namespace, serviceAccount }),
    node: 'node-a' as NodeName,
    addresses: [],
    protocol: 'hbone',
    hostNetwork: false,
    terminating: false,
    owner: { name: serviceAccount, kind: 'deployment' },
    labels: { app: serviceAccount },
    ...extra,
  };
}

export const cart = workload('shop', 'cart-1');
export const web = workload('shop', 'web-1', { labels: { app: 'web', version: 'v2' } });

export const webService: Pick<Service, 'hostname' | 'name' | 'namespace'> = {
  hostname: 'web.shop.svc.cluster.local',
  name: 'web',
  namespace: 'shop',
};

export function peer(address: string, of?: Workload, proved = true): ConnectionPeer {
  return {
    address: parseSocketAddress(address),
    workload: of,
    identity: proved ? of?.identity : undefined,
  };
}

let counter = 0;

export function record(extra: Partial<ConnectionRecord> = {}): ConnectionRecord {
  counter += 1;
  return {
    id: `c-${counter.toString(16)}` as ConnectionId,
    direction: 'outbound',
    path: 'tunnel',
    source: peer('10.0.0.5:40000', cart),
    destination: peer('10.0.1.8:8080', web),
    originalDestination: parseSocketAddress('10.96.0.1:80'),
    hboneAddress: parseSocketAddress('10.0.1.8:15008'),
    service: serviceKey('shop', 'web'),
    verdict: { allowed: true, policy: undefined, reason: 'no policy applies' },
    traceId: '0af7651916cd43dd8448eb211c80319c',
    openedAt: Date.parse('2026-11-21T10:00:00Z'),
    bytesSent: 100,
    bytesReceived: 5000,
    durationMs: 12.6,
    error: undefined,
    ...extra,
  };
}

export function failure(
  code: ConnectionFailure['code'],
  hop: ConnectionFailure['hop'] = 'dial',
): ConnectionFailure {
  return { code, hop, message: `it did not work: ${code}`, hint: 'try again' };
}

/** A clock that moves only when told to. */
export function fakeClock(start = Date.parse('2026-11-21T10:00:00Z')): Clock & { advance(ms: number): void } {
  let now = start;
  const timers = new Set<{ at: number; callback: () => void }>();
  return {
    now: () => now,
    random: () => 0.5,
    after(delayMs, callback) {
      const timer = { at: now + delayMs, callback };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    advance(ms) {
      now += ms;
      for (const timer of timers) {
        if (timer.at > now) continue;
        timers.delete(timer);
        timer.callback();
      }
    },
  };
}
