/**
 * One HBONE connection, either role: a TLS socket that feeds an HTTP/2 session and is fed by it. Control (what the
 * session raises about streams) and bytes (the pump below) meet only here, so another mover can take over the bytes.
 */
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../../base/clock.ts';
import { MeshError } from '../../base/errors.ts';
import type { H2Handler, HeaderList, StreamId, TunnelSession } from '../h2/contract.ts';
import { H2Session } from '../h2/session.ts';
import { Keepalive } from './keepalive.ts';
import type { EngineOptions } from './options.ts';
import type { PodMemory } from './pod-memory.ts';
import type { Reader, SharedReads } from './shared-reads.ts';
import { StreamEnd, type StreamOwner } from './stream-end.ts';
import type { Turn, TurnTask } from './turn.ts';
import type { WriteBuffers } from './write-buffers.ts';

/** What one TLS write carries: several frames and records, and little enough to stay in the processor's cache. */
const writeSize = 64 << 10;
/** A pull exceeds its budget by at most one frame of 64 KiB, and by control frames. */
export const tunnelBufferSize = writeSize + (64 << 10) + (16 << 10);
/** Handed to the TLS socket and not yet taken by the kernel; more would only sit there. */
const maxInFlight = 256 << 10;
/** How long the last frames may take to leave before a connection that failed is cut. */
const failedGraceMs = 1000;
/** How long the peer of one that ended in order may take to have everything and to close too. */
const endedGraceMs = 10_000;

export interface TunnelDeps {
  readonly clock: Clock;
  readonly turn: Turn;
  readonly reads: SharedReads;
  readonly tunnelBuffers: WriteBuffers;
  readonly writeBuffers: WriteBuffers;
  readonly options: EngineOptions;
  readonly memory: PodMemory;
}

export interface TunnelEvents {
  ready(): void;
  headers(stream: StreamId, headers: HeaderList, end: boolean): void;
  /** A stream opened or closed, or the session began to drain. */
  changed(): void;
  /** Every stream was told; without an error it ended as drained. Called once. */
  closed(error: MeshError | undefined): void;
  /** After `closed`: the socket is closed too. Until then the last frames may still be leaving. Called once. */
  gone(): void;
}

/** What the handshake settled. */
export interface TunnelTerms {
  readonly role: 'client' | 'server';
  /** When the peer's certificate expires, in milliseconds since the epoch: from then on no stream is opened. */
  readonly validUntil: number;
}

/** Timers cannot be set for longer than 24 days; certificates of other authorities live longer. */
const longestTimerMs = 24 * 3_600_000;

/** `flush` and `forget` are for its streams, `received` and `endTurn` for those who read and gather writes. */
export class Tunnel implements Reader, StreamOwner, TurnTask {
  readonly session: TunnelSession;
  readonly #socket: TLSSocket;
  readonly #deps: TunnelDeps;
  readonly #events: TunnelEvents;
  readonly #ends = new Map<StreamId, StreamEnd>();
  /** Bulk senders that wait for the connection to take more. */
  readonly #blocked = new Set<StreamEnd>();
  readonly #keepalive: Keepalive;
  #pumpAsked = false;
  #closing = false;
  readonly #validUntil: number;
  #cancelExpiry: (() => void) | undefined;

  /** @param socket after the handshake, the peer verified, nothing read yet. */
  constructor(socket: TLSSocket, { role, validUntil }: TunnelTerms, deps: TunnelDeps, events: TunnelEvents) {
    this.#validUntil = validUntil;
    this.#socket = socket;
    this.#deps = deps;
    this.#events = events;
    this.session = new H2Session(
      {
        handler: this.#handler(),
        clock: deps.clock,
        wake: () => this.#wake(),
        copies: deps.writeBuffers,
        queued: (bytes) => (bytes > 0 ? deps.memory.add(bytes) : deps.memory.remove(-bytes)),
      },
      role === 'client'
        ? { role, settings: { maxConcurrentStreams: deps.options.maxStreamsPerTunnel } }
        : { role },
    );
    this.#keepalive = new Keepalive(deps.clock, {
      intervalMs: deps.options.keepaliveIntervalMs,
      ping: () => this.session.ping(),
      dead: () => this.destroy(new MeshError('PEER_GONE', 'the peer’s ztunnel answers no PING any more')),
    });
  }

  start(): void {
    this.session.start();
    this.#deps.reads.attach(this.#socket, this);
    this.#socket.resume();
    this.#socket.on('end', () => this.session.transportClosed());
    this.#socket.on('error', (cause) => this.session.transportClosed(lost(cause)));
    this.#socket.on('close', () => this.session.transportClosed());
    this.#keepalive.start();
    this.#awaitExpiry();
  }

  /** Streams that are open go on: they were begun by a peer that was who it said. New ones need a new handshake. */
  #awaitExpiry(): void {
    const leftMs = this.#validUntil - this.#deps.clock.now();
    if (leftMs <= 0) this.drain();
    else {
      const delayMs = Math.min(leftMs, longestTimerMs);
      this.#cancelExpiry = this.#deps.clock.after(delayMs, () => this.#awaitExpiry());
    }
  }

  /** The byte side of a stream; it lives until the stream is over. */
  endOf(stream: StreamId): StreamEnd {
    const end = new StreamEnd(this.session, stream, this);
    this.#ends.set(stream, end);
    return end;
  }

  forget(stream: StreamId, end: StreamEnd): void {
    this.#ends.delete(stream);
    this.#blocked.delete(end);
    this.#events.changed();
  }

  /** Handed to TLS and not taken by the kernel; what its streams have queued is theirs. */
  get bufferedBytes(): number {
    return this.#socket.writableLength;
  }

  get openStreams(): number {
    return this.#ends.size;
  }

  drain(): void {
    this.session.drain();
  }

  destroy(error: MeshError): void {
    this.session.destroy(error);
  }

  #wake(): void {
    if (this.#pumpAsked) return;
    this.#pumpAsked = true;
    this.#deps.turn.atEnd(this);
  }

  received(chunk: Uint8Array): void {
    if (this.#closing) return;
    this.#keepalive.heard();
    this.session.receive(chunk);
  }

  endTurn(): void {
    this.#pumpAsked = false;
    this.#pump();
  }

  #pump(): void {
    while (this.#socket.writable && this.#socket.writableLength < maxInFlight) {
      const chunks = this.session.pull(writeSize);
      if (chunks.length === 0) break;
      const { bytes, release } = this.#deps.tunnelBuffers.gather(chunks);
      // Taken over from the streams' queues: nobody is to give way for it, but it counts.
      this.#deps.memory.keep(bytes.length);
      this.#socket.write(bytes, () => {
        release();
        this.#deps.memory.remove(bytes.length);
        this.#pump();
        this.#unblock();
      });
    }
  }

  /** Whether another write's worth would leave at once; what could not would have to be copied. */
  flush(end: StreamEnd): boolean {
    this.#pump();
    if (this.#socket.writableLength + writeSize <= maxInFlight) return true;
    this.#blocked.add(end);
    return false;
  }

  #unblock(): void {
    if (this.#blocked.size === 0 || this.#socket.writableLength > maxInFlight / 2) return;
    const ends = [...this.#blocked];
    this.#blocked.clear();
    for (const end of ends) end.onWritable();
  }

  #handler(): H2Handler {
    return {
      onReady: () => this.#events.ready(),
      onHeaders: (stream, headers, end) => this.#events.headers(stream, headers, end),
      onData: (stream, bytes) => this.#onData(stream, bytes),
      onEnd: (stream) => this.#ends.get(stream)?.onEnd(),
      onReset: (stream, _code, error) => this.#ends.get(stream)?.onReset(error),
      onSent: (stream) => this.#ends.get(stream)?.onSent(),
      onWritable: (stream) => this.#ends.get(stream)?.onWritable(),
      onCapacity: () => this.#events.changed(),
      onGoaway: () => this.#events.changed(),
      onPong: () => {},
      onClosed: (error) => this.#onClosed(error),
    };
  }

  #onData(stream: StreamId, bytes: Uint8Array): void {
    const end = this.#ends.get(stream);
    if (end === undefined) this.session.consumed(stream, bytes.length);
    else end.onData(bytes);
  }

  #onClosed(error: MeshError | undefined): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#keepalive.stop();
    this.#cancelExpiry?.();
    this.#pump();
    this.#closeSocket(error === undefined);
    this.#events.closed(error);
    this.#awaitClose(error === undefined ? endedGraceMs : failedGraceMs);
  }

  /**
   * What ended in order still reads until the peer closes: the kernel answers bytes to a closed socket (credit for the
   * last data, say) with a reset, and throws away what the peer does not have yet. RFC 9112 §9.6 calls it lingering.
   */
  #closeSocket(inOrder: boolean): void {
    if (inOrder) this.#socket.end();
    else this.#socket.destroySoon();
  }

  #awaitClose(graceMs: number): void {
    if (this.#socket.closed) return this.#events.gone();
    const cancel = this.#deps.clock.after(graceMs, () => this.#socket.destroy());
    this.#socket.once('close', () => {
      cancel();
      this.#events.gone();
    });
  }
}

const lost = (cause: Error): MeshError =>
  new MeshError('PEER_GONE', `the connection to the peer’s ztunnel broke: ${cause.message}`, { cause });
