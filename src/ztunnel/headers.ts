/**
 * The headers of a CONNECT request and response: hints for telemetry, never grounds for access. Written for the next
 * hop and read from the last one. Source: Istio ambient's HBONE (`baggage`: W3C Baggage; `traceparent`: W3C Trace
 * Context §3.2; `forwarded`: RFC 7239).
 */
import { randomBytes } from 'node:crypto';
import { formatSocketAddress, type SocketAddress } from '../base/ip.ts';
import type { Workload } from '../model/mesh.ts';

export type Header = readonly [name: string, value: string];

/** 32 lower-case hex digits. */
export const newTraceId = (): string => randomHex(16);

/** Random bytes in stock: asking the system for each id costs more than the rest of a header. */
let stock = Buffer.alloc(0);
const stockSize = 4096;

function randomHex(bytes: number): string {
  if (stock.length < bytes) stock = randomBytes(stockSize);
  const hex = stock.toString('hex', 0, bytes);
  stock = stock.subarray(bytes);
  return hex;
}

export function requestHeaders(
  source: Workload | undefined,
  client: SocketAddress,
  traceId: string,
  serviceHost: string | undefined,
  clusterId: string,
): Header[] {
  const host = serviceHost === undefined ? '' : `;host=${serviceHost}`;
  const headers: Header[] = [
    ['forwarded', `for="${formatSocketAddress(client)}"${host}`],
    ['traceparent', `00-${traceId}-${randomHex(8)}-00`],
  ];
  if (source !== undefined) headers.unshift(['baggage', baggage(source, clusterId)]);
  return headers;
}

/** Who answers, for the client's telemetry. */
export const responseHeaders = (destination: Workload, clusterId: string): Header[] => [
  ['baggage', baggage(destination, clusterId)],
];

/** Workloads are immutable: what they say of themselves is worked out once. */
const baggageOf = new WeakMap<Workload, { readonly clusterId: string; readonly text: string }>();

function baggage(workload: Workload, clusterId: string): string {
  const known = baggageOf.get(workload);
  if (known?.clusterId === clusterId) return known.text;
  const text = describe(workload, clusterId);
  baggageOf.set(workload, { clusterId, text });
  return text;
}

function describe(workload: Workload, clusterId: string): string {
  const pairs: readonly (readonly [string, string | undefined])[] = [
    ['k8s.cluster.name', clusterId],
    ['k8s.namespace.name', workload.namespace],
    [`k8s.${workload.owner.kind.toLowerCase()}.name`, workload.owner.name],
    [
      'service.name',
      workload.labels['service.istio.io/canonical-name'] ?? workload.labels['app'] ?? workload.owner.name,
    ],
    ['service.version', workload.labels['service.istio.io/canonical-revision'] ?? workload.labels['version']],
  ];
  return pairs.flatMap(([key, value]) => (value ? [`${key}=${encodeURIComponent(value)}`] : [])).join(',');
}

/** The trace-id of a well-formed version-00 header, else undefined. */
export function traceIdOf(headers: ReadonlyMap<string, string>): string | undefined {
  const match = /^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/.exec(headers.get('traceparent') ?? '');
  return match?.[1] === '0'.repeat(32) ? undefined : match?.[1];
}

/** The Service host name the client says it dialled. */
export function forwardedHost(headers: ReadonlyMap<string, string>): string | undefined {
  return /(?:^|;)\s*host="?([a-z0-9.-]{1,253})"?\s*(?:;|$)/i.exec(headers.get('forwarded') ?? '')?.[1];
}
