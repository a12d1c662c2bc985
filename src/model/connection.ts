/** One connection's record: opened when the connection is, completed exactly once, source of its log line and metrics. */
import type { Brand } from '../base/brand.ts';
import type { ErrorCode } from '../base/errors.ts';
import type { SocketAddress } from '../base/ip.ts';
import type { Transport } from './access.ts';
import type { SpiffeId } from './identity.ts';
import type { ServiceKey, Workload } from './mesh.ts';
import type { PolicyKey } from './policy.ts';

/** Unique within a node for the life of its process, short enough to type: `c-81f2`. */
export type ConnectionId = Brand<string, 'ConnectionId'>;

/**
 * `tunnel`: HBONE on one side; `direct`: plain TCP on both (unmeshed peer). Between pods of one node where it is switched
 * on: `kernel`: without ztunnel; `local`: through ztunnel, which was asked whether the kernel may.
 */
export const connectionPaths = ['tunnel', 'direct', 'local', 'kernel'] as const;
export type ConnectionPath = (typeof connectionPaths)[number];

/** Which ztunnel tells the story: the source's (`outbound`) or the destination's (`inbound`). */
export type Direction = 'outbound' | 'inbound';

export interface ConnectionPeer {
  readonly address: SocketAddress;
  readonly workload: Workload | undefined;
  /** Proved by a certificate in this connection, or by the kernel as the owner of its socket; never inferred from an address. */
  readonly identity: SpiffeId | undefined;
}

export interface Verdict {
  readonly allowed: boolean;
  /** The policy that decided; undefined when none applied (allowed) or no ALLOW policy matched (denied). */
  readonly policy: PolicyKey | undefined;
  /** One sentence: the rule and the field that decided. */
  readonly reason: string;
  /** An AUDIT policy that matches: it has no say, the record names it. */
  readonly audit?: PolicyKey;
  /** What it would be if the policies in dry run were enforced, where that differs. */
  readonly dryRun?: Verdict;
}

/** What is known of a connection by deciding about it. */
export interface ConnectionFacts {
  readonly direction: Direction;
  readonly path: ConnectionPath;
  readonly source: ConnectionPeer;
  readonly destination: ConnectionPeer;
  /** What the client's application dialled, as far as this end knows; for a Service not `destination.address`. */
  readonly originalDestination: SocketAddress;
  /** Where the HBONE connection goes or came in, `POD:15008`. */
  readonly hboneAddress: SocketAddress | undefined;
  /** The Service that was dialled: decided by address on the way out, told by the peer on the way in. */
  readonly service: ServiceKey | undefined;
  readonly verdict: Verdict | undefined;
  /** W3C trace-id, 32 hex digits, equal in the records of both ztunnels. */
  readonly traceId: string | undefined;
  /** Absent: TCP. Of UDP only what the kernel refused is recorded. */
  readonly transport?: Transport;
}

/** What is known while the connection lives. Bytes are the engine's counters, read when asked. */
export interface ConnectionSummary extends ConnectionFacts {
  readonly id: ConnectionId;
  /** Milliseconds since the Unix epoch. */
  readonly openedAt: number;
  /** From the source's application to the destination's. */
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Of one that the kernel carries by itself: it goes from socket to socket, at least in part. Absent: not known, or another path. */
  readonly accelerated?: boolean;
}

export interface ConnectionRecord extends ConnectionSummary {
  readonly durationMs: number;
  /** Of one that the kernel carried by itself. */
  readonly kernel?: { readonly rttMs: number | undefined; readonly retransmits: number };
  /**
   * How many it stands for: of a storm on the kernel path, those of a pair are told together. Bytes and retransmits are
   * sums then, times the longest; the id, the time and the source's port are the last one's. Absent: one.
   */
  readonly connections?: number;
  /** undefined: both sides closed in order. */
  readonly error: ConnectionFailure | undefined;
}

/** Where on its way a connection failed. */
export type Hop =
  'capture' | 'resolve' | 'policy' | 'certificate' | 'dial' | 'tls' | 'h2' | 'peer' | 'application' | 'relay';

export interface ConnectionFailure {
  readonly code: ErrorCode;
  readonly hop: Hop;
  readonly message: string;
  readonly hint: string | undefined;
}
