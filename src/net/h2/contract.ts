/**
 * The HTTP/2 session as its owner sees it: commands down, events up, no IO. The owner has the TLS connection; it feeds
 * what it read into `receive`, and writes what `pull` hands out whenever the connection can take more. `H2Session`
 * in `session.ts` is the implementation. Everything is synchronous, and every payload is passed on without a copy.
 *
 * Events may be raised inside any command (`receive`, `pull`, `destroy`, ...) and may themselves call any command.
 */
import type { Brand } from '../../base/brand.ts';
import type { Clock } from '../../base/clock.ts';
import type { MeshError } from '../../base/errors.ts';
import type { ErrorCode } from './errors.ts';
import type { H2Limits } from './limits.ts';
import type { CopyPool } from './send-queue.ts';
import type { LocalSettings } from './settings.ts';

/** RFC 9113 §5.1.1: 1 to 2^31-1, odd because only clients open streams here. */
export type StreamId = Brand<number, 'StreamId'>;

/** Lower-case name and value, in wire order, pseudo-fields such as `:method` first. */
export type HeaderField = readonly [name: string, value: string];
export type HeaderList = readonly HeaderField[];

export interface H2SessionDeps {
  readonly handler: H2Handler;
  /** For the budgets that limit what a peer may do in a time. */
  readonly clock: Clock;
  /**
   * There is something to `pull`. Called once until a `pull` came back empty, possibly from inside another command:
   * the owner pulls at once or, to send more bytes in one write, at the end of its tick.
   */
  readonly wake: () => void;
  /** Where `keep` copies to; fresh memory if there is none. */
  readonly copies?: CopyPool;
  /** Told by how many bytes more, or fewer, wait to be sent. It may end streams, the one that sends included. */
  readonly queued?: (deltaBytes: number) => void;
}

export interface H2SessionOptions {
  readonly role: 'client' | 'server';
  /** What we advertise; `clientSettings` or `serverSettings` with changes. */
  readonly settings?: Partial<LocalSettings>;
  readonly limits?: Partial<H2Limits>;
}

/**
 * What happens to a session. A stream that was opened (by us) or announced (by `onHeaders` on a server) ends in exactly
 * one way: both sides ended (`onEnd` came and we called `end`), we called `reset`, or `onReset` came.
 */
export interface H2Handler {
  /** The peer's first SETTINGS arrived: the HTTP/2 handshake is done and `availableStreams` is the peer's word. */
  onReady(): void;
  /**
   * Server: a CONNECT request, checked as RFC 9113 §8.5 says; any other method is passed on too, for a 400.
   * Client: the final response, with exactly one valid `:status`; interim 1xx responses are not passed on.
   * `end`: the peer sends nothing after it; no `onEnd` follows.
   */
  onHeaders(stream: StreamId, headers: HeaderList, end: boolean): void;
  /**
   * Payload of the stream: a view of the chunk given to `receive`, good for as long as the owner leaves that chunk
   * alone. Its bytes count against the peer's window until `consumed` gives them back.
   */
  onData(stream: StreamId, bytes: Uint8Array): void;
  /** The peer half-closed. Trailers, if any, are dropped. */
  onEnd(stream: StreamId): void;
  /**
   * The stream is gone: the peer reset it (STREAM_RESET), refused it by GOAWAY (STREAM_RESET, code REFUSED_STREAM: it
   * was never looked at and may be tried elsewhere), broke the protocol on it, or the session ended.
   */
  onReset(stream: StreamId, code: ErrorCode, error: MeshError): void;
  /** `send` returned false earlier; at least half of the queue has left since. */
  onWritable(stream: StreamId): void;
  /** Everything given to `send`, and the `end` after it, was pulled. */
  onSent(stream: StreamId): void;
  /** Streams can be opened again after `availableStreams` was 0. */
  onCapacity(): void;
  /** The peer opens or accepts no more streams on this connection; those up to `lastStream` go on. */
  onGoaway(code: ErrorCode, lastStream: number): void;
  /** The peer answered the oldest unanswered `ping`. */
  onPong(): void;
  /**
   * The session ended and every stream got its `onReset`. `pull` may still hold a GOAWAY for the peer; then close
   * the connection. Without an error it ended as drained. Nothing is raised after this.
   */
  onClosed(error: MeshError | undefined): void;
}

/** Commands for a stream that is gone already are ignored: a reset may always cross them. */
export interface TunnelSession {
  /** Sends the preface and SETTINGS. Call once, first. */
  start(): void;
  /** Bytes from the peer, in any chunking. Never throws; a broken peer ends in `onClosed`. */
  receive(chunk: Uint8Array): void;
  /** The connection ended: cleanly (EOF), or with `error`. Raises `onReset` for what was open, and `onClosed`. */
  transportClosed(error?: MeshError): void;
  /**
   * Up to about `budget` bytes to send (a frame more at most), as chunks to write in this order; empty when there is
   * nothing that may be sent now: `wake` is called when there is again. Control frames come first, regardless of the
   * budget, then DATA, the streams taking turns. Keep pulling, as fast as the connection takes it, until it is empty. The
   * chunks are good until the next command.
   */
  pull(budget: number): Uint8Array[];

  /**
   * Client: a new stream with these request fields.
   * @throws MeshError OVERLOADED when `availableStreams` is 0 for now, DRAINING when it will stay 0.
   */
  openStream(headers: HeaderList): StreamId;
  /** Server: the one response of a stream. With `end` nothing follows, and an unfinished request is cut off. */
  respond(stream: StreamId, headers: HeaderList, end: boolean): void;
  /**
   * Queues payload; the caller must not touch the bytes again. False: the queue is as full as it should get, wait for
   * `onWritable` before sending more (what was given is queued all the same).
   */
  send(stream: StreamId, bytes: Uint8Array): boolean;
  /**
   * Copies what is still queued of the bytes given to `send` last, for a caller that uses their memory again. Returns
   * what `send` would return now: of bytes that were pulled at once nothing waits.
   */
  keep(stream: StreamId): boolean;
  /** Half-closes after everything queued. */
  end(stream: StreamId): void;
  /**
   * `bytes` of what `onData` delivered have been used: the peer may send as many more. Also for a stream that has ended
   * in order: bytes never given back are missing from the connection's window for good. Only `reset` and `onReset`
   * give back what was left.
   */
  consumed(stream: StreamId, bytes: number): void;
  /** RST_STREAM; what is queued is dropped. No event follows. */
  reset(stream: StreamId, code: ErrorCode): void;

  /** Keepalive: `onPong` when the peer answers. */
  ping(): void;
  /** GOAWAY: no new streams; `onClosed` without an error when the last one has ended. */
  drain(): void;
  /** Ends everything now: `onReset` for each stream, `onClosed(error)`, GOAWAY with `code` left to `pull`. */
  destroy(error: MeshError, code?: ErrorCode): void;

  /** Streams that could be opened now (client); 0 once draining. */
  readonly availableStreams: number;
  readonly openStreams: number;
  /** Bytes given to `send` and not yet pulled. */
  readonly queuedBytes: number;
  /** The same of one stream; 0 when it is over. */
  queuedOn(stream: StreamId): number;
  /** Bytes given to `onData` and not yet given back. */
  readonly unconsumedBytes: number;
  readonly closed: boolean;
}
