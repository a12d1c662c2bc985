/**
 * What the peer's frames do to the session: RFC 9113 §5 and §6, one method a frame. Violations that end the
 * connection are thrown, those that end a stream go to `core.fail`.
 */
import { MeshError } from '../../base/errors.ts';
import type { HeaderList, StreamId } from './contract.ts';
import type { SessionCore } from './core.ts';
import { encodePing, encodeRstStream, encodeSettingsAck } from './encode.ts';
import { type ErrorCode, H2Violation, describeErrorCode, errorCode } from './errors.ts';
import { checkRequest, checkResponse, checkTrailers, isInterim } from './fields.ts';
import type { FrameSink } from './frame.ts';
import { protocolError } from './frame-rules.ts';
import { HpackDecoder } from './hpack/decode.ts';
import type { Stream } from './stream.ts';

export class FrameHandler implements FrameSink {
  readonly #core: SessionCore;
  readonly #hpack = new HpackDecoder();
  #ready = false;
  /** Lowest last-stream id of the peer's GOAWAYs. */
  #goawayLast = Number.POSITIVE_INFINITY;
  /** Whether the DATA frame being received ends its stream. */
  #dataEndsStream = false;

  constructor(core: SessionCore) {
    this.#core = core;
  }

  dataBegin(id: number, length: number, endStream: boolean): void {
    if (length > 0) this.#core.earnIdleFrames(0);
    else this.#spendIdleFrame('empty DATA');
    const stream = this.#expectData(id);
    this.#dataEndsStream = endStream;
    if (!this.#core.receiver.begin(stream, length) && stream !== undefined) {
      this.#fail(stream, errorCode.flowControlError, 'DATA beyond the stream window');
    }
  }

  /** The stream if it may get DATA now; undefined when the payload is to be thrown away. */
  #expectData(id: number): Stream | undefined {
    const stream = this.#core.streams.get(id);
    if (stream === undefined) {
      this.#checkAbsent(id, 'DATA');
      return undefined;
    }
    if (!stream.remoteOpen) return this.#fail(stream, errorCode.streamClosed, 'DATA after END_STREAM');
    if (this.#core.role === 'client' && !stream.answered) {
      return this.#fail(stream, errorCode.protocolError, 'DATA before the response');
    }
    return stream;
  }

  data(bytes: Uint8Array): void {
    this.#core.receiver.data(bytes);
  }

  dataEnd(): void {
    const stream = this.#core.receiver.end();
    if (stream === undefined || !this.#dataEndsStream) return;
    this.#remoteEnded(stream, () => this.#core.handler.onEnd(stream.id));
  }

  headers(id: number, block: Uint8Array, endStream: boolean): void {
    // Always decoded, even if the stream is gone: it may change the table that all streams share.
    const headers = this.#hpack.decode(block, this.#core.local.maxHeaderListSize);
    const stream = this.#core.streams.get(id);
    if (stream !== undefined) return this.#headersOnStream(stream, headers, endStream);
    const isNew = this.#core.role === 'server' && id % 2 === 1 && id > this.#core.streams.last;
    if (isNew) return this.#request(id, headers, endStream);
    this.#checkAbsent(id, 'HEADERS');
  }

  #request(id: number, headers: HeaderList | undefined, endStream: boolean): void {
    const core = this.#core;
    if (core.draining === 'final' || core.streams.size >= core.local.maxConcurrentStreams) {
      return this.#refuse(id, errorCode.refusedStream);
    }
    if (headers === undefined) return this.#refuse(id, errorCode.enhanceYourCalm);
    if (checkRequest(headers) !== undefined) return this.#refuse(id, errorCode.protocolError);
    const stream = core.addStream(id as StreamId);
    this.#deliverHeaders(stream, headers, endStream);
  }

  /** RST_STREAM for a request that its owner never hears of. */
  #refuse(id: number, code: ErrorCode): void {
    this.#core.streams.refuse(id);
    this.#core.reply(encodeRstStream(id, code));
    this.#spendWastedStream();
  }

  #headersOnStream(stream: Stream, headers: HeaderList | undefined, endStream: boolean): void {
    if (!stream.remoteOpen) {
      this.#fail(stream, errorCode.streamClosed, 'HEADERS after END_STREAM');
    } else if (headers === undefined) {
      this.#fail(stream, errorCode.enhanceYourCalm, 'header list too large');
    } else if (this.#core.role === 'client' && !stream.answered) {
      this.#response(stream, headers, endStream);
    } else {
      this.#trailers(stream, headers, endStream);
    }
  }

  #response(stream: Stream, headers: HeaderList, endStream: boolean): void {
    const problem = checkResponse(headers);
    const interim = isInterim(headers);
    if (problem !== undefined || (interim && endStream)) {
      this.#fail(stream, errorCode.protocolError, problem ?? 'interim response with END_STREAM');
      return;
    }
    if (interim) return this.#spendIdleFrame('interim responses');
    stream.answered = true;
    this.#deliverHeaders(stream, headers, endStream);
  }

  /** §8.5 has none on a CONNECT stream, but peers that relay HTTP send them: as the end of the stream they do no harm. */
  #trailers(stream: Stream, headers: HeaderList, endStream: boolean): void {
    const problem = checkTrailers(headers) ?? (endStream ? undefined : 'HEADERS in the middle of a stream');
    if (problem !== undefined) this.#fail(stream, errorCode.protocolError, problem);
    else this.#remoteEnded(stream, () => this.#core.handler.onEnd(stream.id));
  }

  #deliverHeaders(stream: Stream, headers: HeaderList, endStream: boolean): void {
    const { handler } = this.#core;
    if (!endStream) return handler.onHeaders(stream.id, headers, false);
    this.#remoteEnded(stream, () => handler.onHeaders(stream.id, headers, true));
  }

  #remoteEnded(stream: Stream, tell: () => void): void {
    stream.remoteOpen = false;
    tell();
    this.#core.finish(stream);
  }

  rstStream(id: number, code: number): void {
    const stream = this.#core.streams.get(id);
    if (stream === undefined) {
      if (this.#core.streams.standing(id) === 'idle') throw protocolError('RST_STREAM on an idle stream');
      return this.#spendIdleFrame('RST_STREAM');
    }
    const wasted = this.#core.role === 'server' && !stream.answered;
    const error = new MeshError('STREAM_RESET', `the peer reset the stream with ${describeErrorCode(code)}`);
    this.#core.resetByPeer(stream, code, error);
    if (wasted) this.#spendWastedStream();
  }

  settings(entries: Uint8Array): void {
    this.#spendIdleFrame('SETTINGS');
    const { peer, streams, sender } = this.#core;
    const before = peer.streamWindow;
    peer.apply(entries);
    const delta = peer.streamWindow - before;
    const fits = delta === 0 || streams.all().every((stream) => sender.growStreamWindow(stream, delta));
    if (!fits) {
      throw new H2Violation(errorCode.flowControlError, 'INITIAL_WINDOW_SIZE makes a window exceed 2^31-1');
    }
    this.#core.reply(encodeSettingsAck());
    this.#core.wake();
    if (!this.#ready) {
      this.#ready = true;
      this.#core.handler.onReady();
    }
    this.#core.noteCapacity();
  }

  settingsAck(): void {
    this.#spendIdleFrame('SETTINGS');
    this.#core.settingsAcknowledged();
  }

  ping(opaque: Uint8Array, ack: boolean): void {
    this.#spendIdleFrame('PING');
    if (!ack) return this.#core.reply(encodePing(opaque, true));
    const purpose = this.#core.pings.finish(opaque);
    if (purpose === 'keepalive') this.#core.handler.onPong();
    if (purpose === 'drain') this.#core.drainFinally();
  }

  goaway(lastStream: number, code: number, debug: Uint8Array): void {
    this.#spendIdleFrame('GOAWAY');
    if (lastStream > this.#goawayLast) throw protocolError('GOAWAY with a higher last stream than before');
    this.#goawayLast = lastStream;
    this.#core.peerSaysGoodbye(code, debug);
    this.#core.handler.onGoaway(code, lastStream);
    if (this.#core.role === 'client') this.#refusedByPeer(lastStream);
    this.#core.closeIfDrained();
  }

  #refusedByPeer(lastStream: number): void {
    for (const stream of this.#core.streams.all()) {
      if (stream.id <= lastStream) continue;
      const error = new MeshError('STREAM_RESET', 'the peer is shutting down and did not look at the stream');
      this.#core.resetByPeer(stream, errorCode.refusedStream, error);
    }
  }

  windowUpdate(id: number, increment: number): void {
    this.#spendIdleFrame('WINDOW_UPDATE');
    if (id === 0) this.#connectionWindowUpdate(increment);
    else this.#streamWindowUpdate(id, increment);
    this.#core.wake();
  }

  #connectionWindowUpdate(increment: number): void {
    if (increment === 0) throw protocolError('WINDOW_UPDATE of 0');
    if (!this.#core.sender.growWindow(increment)) {
      throw new H2Violation(errorCode.flowControlError, 'the connection window exceeds 2^31-1');
    }
  }

  #streamWindowUpdate(id: number, increment: number): void {
    const stream = this.#core.streams.get(id);
    if (stream === undefined) {
      if (this.#core.streams.standing(id) === 'idle') throw protocolError('WINDOW_UPDATE on an idle stream');
    } else if (increment === 0) {
      this.#fail(stream, errorCode.protocolError, 'WINDOW_UPDATE of 0');
    } else if (!this.#core.sender.growStreamWindow(stream, increment)) {
      this.#fail(stream, errorCode.flowControlError, 'the stream window exceeds 2^31-1');
    }
  }

  ignored(): void {
    this.#spendIdleFrame('ignored frames');
  }

  /** A frame for a stream that is not there: fine only if we reset it while the frame was under way. */
  #checkAbsent(id: number, what: string): void {
    const standing = this.#core.streams.standing(id);
    if (standing === 'reset') return;
    if (standing === 'idle') throw protocolError(`${what} on an idle stream`);
    throw new H2Violation(errorCode.streamClosed, `${what} on a closed stream`);
  }

  #fail(stream: Stream, code: ErrorCode, reason: string): undefined {
    this.#core.fail(stream, code, reason);
    this.#spendWastedStream();
  }

  #spendIdleFrame(what: string): void {
    if (!this.#core.idleFrames.spend()) throw new H2Violation(errorCode.enhanceYourCalm, `too many ${what}`);
  }

  #spendWastedStream(): void {
    if (!this.#core.wastedStreams.spend()) {
      throw new H2Violation(errorCode.enhanceYourCalm, 'too many streams cancelled before the response');
    }
  }
}
