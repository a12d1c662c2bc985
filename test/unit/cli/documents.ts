/** What nodes of the tests' mesh answer. */
import type {
  CertificateItem,
  ConnectionItem,
  PolicyItem,
  ServiceItem,
  StatusBody,
  WorkloadItem,
} from '../../../src/telemetry/admin-api.ts';
import { document, now } from './harness.ts';

const inHours = (hours: number): string => new Date(now + hours * 3_600_000).toISOString();

export function status(extra: Partial<StatusBody> = {}): object {
  const body: StatusBody = {
    version: '0.1.0',
    startedAt: inHours(-3),
    health: 'ok',
    kernel: '6.18.0',
    source: {
      name: 'directory /etc/mesh',
      state: 'live',
      lastEventAt: '2026-01-01T11:59:00.000Z',
      meshVersion: 7,
      lastChangeAt: inHours(-1),
    },
    pods: { expected: 2, enrolled: 2, verified: 2 },
    ca: {
      state: 'ok',
      message: null,
      nextExpiry: { identity: 'spiffe://cluster.local/ns/shop/sa/web', notAfter: inHours(9) },
    },
    connections: { live: 3, tunnelsOut: 1, tunnelsIn: 2, bufferedBytes: 0 },
    readiness: { ready: true, pending: [] },
    problems: [],
    ...extra,
  };
  return document('Status', body);
}

export function workload(name: string, extra: Partial<WorkloadItem> = {}): WorkloadItem {
  return {
    uid: `uid-${name}`,
    namespace: 'shop',
    name,
    node: 'node-a',
    serviceAccount: 'web',
    identity: 'spiffe://cluster.local/ns/shop/sa/web',
    addresses: ['10.0.0.5', 'fd00::5'],
    protocol: 'hbone',
    enrolment: 'enrolled',
    reason: null,
    certificate: { state: 'valid', notAfter: inHours(21) },
    policies: [],
    ...extra,
  };
}

export function service(name: string, extra: Partial<ServiceItem> = {}): ServiceItem {
  return {
    namespace: 'shop',
    name,
    hostname: `${name}.shop.svc.cluster.local`,
    vips: ['10.96.0.1'],
    ports: [{ name: 'http', port: 80, protocol: 'tcp' }],
    endpoints: [
      {
        address: '10.0.0.5',
        workload: 'shop/web-1',
        ready: true,
        serving: true,
        terminating: false,
        ports: { 80: 8080 },
      },
    ],
    ...extra,
  };
}

export function certificate(extra: Partial<CertificateItem> = {}): CertificateItem {
  return {
    identity: 'spiffe://cluster.local/ns/shop/sa/web',
    state: 'valid',
    serialNumber: '0a1b',
    notBefore: inHours(-3),
    notAfter: inHours(21),
    renewAt: inHours(9),
    lastError: null,
    workloads: ['shop/web-1'],
    chain: [],
    roots: [],
    ...extra,
  };
}

export function policy(name: string, extra: Partial<PolicyItem> = {}): PolicyItem {
  return {
    kind: 'AuthorizationPolicy',
    key: `shop/${name}`,
    namespace: 'shop',
    name,
    action: 'allow',
    dryRun: false,
    scope: 'app=db',
    rules: ['from cluster.local/ns/shop/sa/cart'],
    workloads: [],
    ...extra,
  };
}

export function connection(id: string, extra: Partial<ConnectionItem> = {}): ConnectionItem {
  return {
    id,
    sequence: 1,
    direction: 'outbound',
    path: 'tunnel',
    transport: 'tcp',
    source: {
      address: '10.0.0.5:4000',
      workload: 'shop/cart-1',
      identity: 'spiffe://cluster.local/ns/shop/sa/cart',
    },
    destination: {
      address: '10.0.1.8:8080',
      workload: 'shop/web-1',
      identity: 'spiffe://cluster.local/ns/shop/sa/web',
    },
    originalDestination: '10.96.0.1:80',
    hboneAddress: '10.0.1.8:15008',
    service: 'shop/web',
    verdict: null,
    traceId: '0af7651916cd43dd8448eb211c80319c',
    openedAt: new Date(now - 5000).toISOString(),
    bytesSent: 100,
    accelerated: null,
    bytesReceived: 5_000_000,
    outcome: 'completed',
    durationMs: 1000,
    connections: 1,
    kernel: null,
    error: null,
    ...extra,
  };
}

export const denied = (id: string): ConnectionItem =>
  connection(id, {
    outcome: 'denied',
    verdict: {
      allowed: false,
      policy: 'shop/db-allow',
      reason: 'no rule matched',
      audit: null,
      dryRun: null,
    },
    error: { code: 'POLICY_DENIED', hop: 'policy', message: 'refused', hint: null },
  });
