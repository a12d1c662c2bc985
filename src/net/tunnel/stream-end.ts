/**
 * An HTTP/2 stream as a `ByteEnd`. Back-pressure is the stream's window: while paused, received bytes are not given
 * back to the peer as credit, so it can send one window more and then waits.
 */
import type { MeshError } from '../../base/errors.ts';
import type { HeaderList, StreamId, TunnelSession } from '../h2/contract.ts';
import { errorCode } from '../h2/errors.ts';
import type { ByteSink, NearEnd } from './byte-end.ts';
import { hboneStatus } from './hbone-status.ts';

/** The connection a stream is on. */
export interface StreamOwner {
  /**
   * Sends what the session has, as far as the connection takes it. False: it would take no more now, and `onWritable`
   * is called when it does.
   */
  flush(end: StreamEnd): boolean;
  /** The stream is over for us; called once. */
  forget(stream: StreamId, end: StreamEnd): void;
}

/** From so many bytes on, what is written leaves at once: waiting for more would only cost a copy. */
const bulkBytes = 16 << 10;

export class StreamEnd implements NearEnd {
  readonly #session: TunnelSession;
  readonly #stream: StreamId;
  readonly #owner: StreamOwner;
  #sink: ByteSink | undefined;
  #paused = true;
  #started = false;
  /** What arrived before anybody wanted it. */
  #held: Uint8Array[] | undefined;
  #heldBytes = 0;
  /** Passed on, and not yet returned to the peer as credit. */
  #owed = 0;
  #remoteEnded = false;
  #endTold = false;
  /** All that was written has been pulled, the end included. */
  #sent = false;
  /** Set when it failed before there was a sink to tell. */
  #failure: MeshError | undefined;
  #silent = false;

  constructor(session: TunnelSession, stream: StreamId, owner: StreamOwner) {
    this.#session = session;
    this.#stream = stream;
    this.#owner = owner;
  }

  get bufferedBytes(): number {
    return this.#heldBytes + this.#session.queuedOn(this.#stream);
  }

  attach(sink: ByteSink): void {
    this.#sink = sink;
    if (this.#failure !== undefined) this.onReset(this.#failure);
  }

  /** Whoever is attached next is told what fails until then. */
  detach(): void {
    this.#sink = undefined;
  }

  resume(): void {
    this.#paused = false;
    if (!this.#started) this.#deliverHeld();
    if (this.#owed > 0 && !this.#paused) this.#giveBack();
  }

  pause(): void {
    this.#paused = true;
  }

  write(bytes: Uint8Array): boolean {
    if (bytes.length < bulkBytes) return this.#session.send(this.#stream, Buffer.from(bytes));
    this.#session.send(this.#stream, bytes);
    const room = this.#owner.flush(this);
    return this.#session.keep(this.#stream) && room;
  }

  end(): void {
    this.#session.end(this.#stream);
  }

  accept(headers: HeaderList): void {
    this.#session.respond(this.#stream, [[':status', '200'], ...headers], false);
  }

  refuse(error: MeshError): void {
    this.#silence();
    this.#session.respond(this.#stream, [[':status', String(hboneStatus(error.code))]], true);
  }

  /** RFC 9113 §8.5: a TCP reset becomes RST_STREAM with CONNECT_ERROR. */
  reset(error: MeshError): void {
    this.#silence();
    const tcpReset = error.code === 'APPLICATION_RESET' || error.code === 'STREAM_RESET';
    this.#session.reset(this.#stream, tcpReset ? errorCode.connectError : errorCode.cancel);
  }

  /** The rest is for the tunnel, which passes on what its session raises. */
  onData(bytes: Uint8Array): void {
    if (this.#silent) {
      // Nobody wants it, but the connection's window is shared: it must not shrink for the other streams.
      this.#session.consumed(this.#stream, bytes.length);
      return;
    }
    if (!this.#started) {
      (this.#held ??= []).push(Buffer.from(bytes));
      this.#heldBytes += bytes.length;
      return;
    }
    this.#deliver(bytes);
  }

  onEnd(): void {
    this.#remoteEnded = true;
    if (this.#started) this.#tellEnd();
  }

  onSent(): void {
    this.#sent = true;
    this.#finishIfDone();
  }

  onWritable(): void {
    if (!this.#silent) this.#sink?.writable();
  }

  onReset(error: MeshError): void {
    if (this.#silent) return;
    if (this.#sink === undefined) {
      this.#failure = error;
      return;
    }
    this.#silence();
    this.#sink.failed(error);
  }

  #deliverHeld(): void {
    this.#started = true;
    const held = this.#held ?? [];
    this.#held = undefined;
    this.#heldBytes = 0;
    for (const bytes of held) this.#deliver(bytes);
    if (this.#remoteEnded) this.#tellEnd();
  }

  #deliver(bytes: Uint8Array): void {
    this.#owed += bytes.length;
    this.#sink?.data(bytes);
    if (!this.#paused) this.#giveBack();
  }

  #giveBack(): void {
    const owed = this.#owed;
    this.#owed = 0;
    this.#session.consumed(this.#stream, owed);
  }

  #tellEnd(): void {
    if (this.#endTold || this.#silent) return;
    this.#endTold = true;
    this.#sink?.ended();
    this.#finishIfDone();
  }

  #finishIfDone(): void {
    if (!this.#sent || !this.#endTold || this.#silent) return;
    this.#silence();
    this.#sink?.finished();
  }

  /** Whatever was not read is given back: what a paused stream still owes would be lost to the whole connection. */
  #silence(): void {
    this.#silent = true;
    this.#owed += this.#heldBytes;
    this.#held = undefined;
    this.#heldBytes = 0;
    if (this.#owed > 0) this.#giveBack();
    this.#owner.forget(this.#stream, this);
  }
}
