/**
 * How a connection ended, in the few words that logs, metrics and the CLI share. The table from error code to
 * outcome and to Istio's `response_flags` lives here and nowhere else.
 */
import type { ErrorCode } from '../base/errors.ts';
import type { ConnectionRecord, Hop } from '../model/connection.ts';

/**
 * `completed`: both sides closed in order. `ended`: one side ended it on purpose (reset, shutdown, pod deleted); not a
 * fault of the mesh and not worth an alarm. `denied`: a policy refused it. `failed`: it should have worked.
 */
export type Outcome = 'completed' | 'ended' | 'denied' | 'failed';

/** Values of Istio's `response_flags` label that a TCP proxy can have. */
export type ResponseFlag =
  '-' | 'DENY' | 'CONNECT' | 'TLS_FAILURE' | 'H2_HANDSHAKE_FAILURE' | 'IDENTITY_ERROR' | 'CERT_REVOKED';

const benign: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'APPLICATION_RESET',
  'STREAM_RESET',
  'DRAINING',
  'POD_REMOVED',
]);

/** Codes that have a flag of their own; every other failure carries `-`, as in Istio. */
const flags: Readonly<Partial<Record<ErrorCode, ResponseFlag>>> = {
  POLICY_DENIED: 'DENY',
  DIAL_FAILED: 'CONNECT',
  CONNECT_REFUSED: 'CONNECT',
  NO_HEALTHY_ENDPOINT: 'CONNECT',
  TLS_FAILED: 'TLS_FAILURE',
  H2_PROTOCOL: 'H2_HANDSHAKE_FAILURE',
  H2_FLOW_CONTROL: 'H2_HANDSHAKE_FAILURE',
  H2_LIMIT: 'H2_HANDSHAKE_FAILURE',
  IDENTITY_INVALID: 'IDENTITY_ERROR',
  PEER_IDENTITY: 'IDENTITY_ERROR',
  TRUST_DOMAIN: 'IDENTITY_ERROR',
  CERTIFICATE_UNAVAILABLE: 'IDENTITY_ERROR',
  CERTIFICATE_INVALID: 'IDENTITY_ERROR',
};

/** Hops at which nothing is known of the connection yet but its addresses. */
const earlyHops: ReadonlySet<Hop> = new Set<Hop>(['capture', 'resolve']);

export function outcomeOf(record: ConnectionRecord): Outcome {
  if (record.error === undefined) return 'completed';
  if (record.error.code === 'POLICY_DENIED') return 'denied';
  return benign.has(record.error.code) ? 'ended' : 'failed';
}

export function responseFlagOf(record: ConnectionRecord): ResponseFlag {
  return record.error === undefined ? '-' : (flags[record.error.code] ?? '-');
}

/** How many connections the record stands for. */
export const countOf = ({ connections = 1 }: Pick<ConnectionRecord, 'connections'>): number => connections;

/** Whether the connection failed before it could be told where it goes and to whom. */
export const failedEarly = (record: ConnectionRecord): boolean =>
  record.error !== undefined && earlyHops.has(record.error.hop);
