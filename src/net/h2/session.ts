/**
 * The HTTP/2 session: the owner's commands (documented in `contract.ts`) on top of `SessionCore`, and the one place that
 * catches violations. No IO, no timers: bytes in by `receive`, bytes out by `pull`.
 */
import { MeshError, asMeshError } from '../../base/errors.ts';
import { preface } from './constants.ts';
import type { H2SessionDeps, H2SessionOptions, HeaderList, StreamId, TunnelSession } from './contract.ts';
import { SessionCore } from './core.ts';
import { FrameDecoder } from './decode.ts';
import { encodeDataHeader, encodeHeaders, encodePing, encodeSettings } from './encode.ts';
import { type ErrorCode, H2Violation, errorCode } from './errors.ts';
import { checkRequest, checkResponse } from './fields.ts';
import { FrameHandler } from './frame-handler.ts';
import { hpackEncode } from './hpack/encode.ts';
import type { CopyPool } from './send-queue.ts';
import type { Stream } from './stream.ts';

export class H2Session implements TunnelSession {
  readonly #core: SessionCore;
  readonly #decoder: FrameDecoder;
  readonly #copies: CopyPool;
  #sentHeaders = false;

  constructor(deps: H2SessionDeps, options: H2SessionOptions) {
    this.#core = new SessionCore(deps, options);
    this.#copies = deps.copies ?? fresh;
    this.#decoder = new FrameDecoder(new FrameHandler(this.#core), {
      ...this.#core.limits,
      maxFrameSize: this.#core.local.maxFrameSize,
      expectPreface: options.role === 'server',
    });
    this.#core.stopReading = () => this.#decoder.stop();
  }

  get availableStreams(): number {
    return this.#core.role === 'client' ? this.#core.availableStreams : 0;
  }

  get openStreams(): number {
    return this.#core.streams.size;
  }

  get queuedBytes(): number {
    return this.#core.sender.queuedBytes;
  }

  queuedOn(id: StreamId): number {
    return this.#core.streams.get(id)?.sendQueue.bytes ?? 0;
  }

  get unconsumedBytes(): number {
    return this.#core.receiver.unconsumedBytes;
  }

  get closed(): boolean {
    return this.#core.closed;
  }

  start(): void {
    const { role, local, control, receiver } = this.#core;
    if (role === 'client') control.push(preface);
    control.push(encodeSettings(local, role));
    receiver.start();
    this.#core.wake();
  }

  receive(chunk: Uint8Array): void {
    if (this.closed) return;
    try {
      this.#decoder.write(chunk);
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  #fail(thrown: unknown): void {
    const error = asMeshError(thrown);
    const code = error instanceof H2Violation ? error.h2Code : errorCode.internalError;
    this.#core.close(error, { code, debug: error instanceof H2Violation ? error.message : '' });
  }

  transportClosed(error?: MeshError): void {
    if (!this.closed) this.#core.transportClosed(error);
  }

  pull(budget: number): Uint8Array[] {
    return this.#core.pull(budget);
  }

  openStream(headers: HeaderList): StreamId {
    const id = this.#core.streams.nextId;
    if (id === undefined || this.#core.noMoreStreams) {
      throw new MeshError('DRAINING', 'the HTTP/2 connection takes no new streams');
    }
    if (this.#core.availableStreams === 0) {
      throw new MeshError('OVERLOADED', 'all streams of the HTTP/2 connection are in use');
    }
    assertValid(checkRequest(headers));
    this.#core.addStream(id);
    this.#sendHeaders(id, headers, false);
    return id;
  }

  respond(id: StreamId, headers: HeaderList, end: boolean): void {
    const stream = this.#core.streams.get(id);
    if (stream === undefined) return;
    assertValid(stream.answered ? 'second response' : checkResponse(headers));
    stream.answered = true;
    this.#sendHeaders(id, headers, end);
    if (!end) return;
    // RFC 9113 §8.1: the response is complete without the rest of the request.
    if (stream.remoteOpen) this.#core.reset(stream, errorCode.noError);
    else this.#core.localEnded(stream);
  }

  #sendHeaders(id: StreamId, headers: HeaderList, end: boolean): void {
    const block = hpackEncode(headers, !this.#sentHeaders);
    this.#sentHeaders = true;
    this.#core.push(encodeHeaders(id, block, end, this.#core.peer.maxFrameSize));
  }

  send(id: StreamId, bytes: Uint8Array): boolean {
    const stream = this.#core.streams.get(id);
    if (stream === undefined) return true;
    this.#assertSendable(stream);
    this.#core.sender.push(stream, bytes);
    stream.waiting = stream.sendQueue.weight >= this.#core.limits.sendQueueBytes;
    this.#core.wake();
    return !stream.waiting;
  }

  keep(id: StreamId): boolean {
    const stream = this.#core.streams.get(id);
    if (stream === undefined) return true;
    stream.sendQueue.own(this.#copies);
    stream.waiting = stream.sendQueue.weight >= this.#core.limits.sendQueueBytes;
    return !stream.waiting;
  }

  end(id: StreamId): void {
    const stream = this.#core.streams.get(id);
    if (stream === undefined) return;
    this.#assertSendable(stream);
    stream.ending = true;
    if (stream.sendQueue.bytes > 0) return;
    this.#core.push(encodeDataHeader(id, 0, true));
    this.#core.localEnded(stream);
  }

  #assertSendable(stream: Stream): void {
    if (stream.ending) throw new MeshError('INTERNAL', 'a stream was used after its end');
    if (this.#core.role === 'server' && !stream.answered) {
      throw new MeshError('INTERNAL', 'a stream was used before its response');
    }
  }

  consumed(id: StreamId, bytes: number): void {
    const stream = this.#core.streams.getReceiving(id);
    if (stream === undefined) return;
    if (bytes > stream.receiveWindow.unconsumed) {
      throw new MeshError('INTERNAL', 'more bytes of a stream were consumed than received');
    }
    this.#core.receiver.consumed(stream, bytes);
    this.#core.streams.settle(stream);
  }

  reset(id: StreamId, code: ErrorCode): void {
    const stream = this.#core.streams.get(id);
    if (stream !== undefined) this.#core.reset(stream, code);
  }

  ping(): void {
    if (!this.closed) this.#core.push(encodePing(this.#core.pings.start('keepalive'), false));
  }

  drain(): void {
    this.#core.drain();
  }

  destroy(error: MeshError, code: ErrorCode = errorCode.noError): void {
    this.#core.close(error, { code, debug: '' });
  }
}

const fresh: CopyPool = { copy: (chunk) => Buffer.from(chunk), release() {} };

/** Owners may pass on text of others, so this is checked where it leaves. */
function assertValid(problem: string | undefined): void {
  if (problem !== undefined) throw new MeshError('INVALID_ARGUMENT', `header fields to send: ${problem}`);
}
