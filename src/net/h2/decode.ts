/**
 * Incremental frame decoder: no IO, any chunking, no copy of DATA. It owns the order of frames on the wire (preface,
 * SETTINGS first, CONTINUATION) and calls a `FrameSink`, which owns everything that depends on streams. The session
 * feeds it and catches the `H2Violation` it throws; after one it must not be fed again.
 */
import { flag, frameHeaderSize, frameType, preface } from './constants.ts';
import { H2Violation, errorCode } from './errors.ts';
import { type FrameHeader, type FrameSink, readFrameHeader, readUint31, readUint32 } from './frame.ts';
import { checkFrameHeader, protocolError } from './frame-rules.ts';
import { HeaderBlock, type HeaderBlockLimits } from './header-block.ts';

export interface DecoderOptions extends HeaderBlockLimits {
  /** Largest payload accepted, as advertised. */
  readonly maxFrameSize: number;
  /** Servers expect the client's preface first. */
  readonly expectPreface: boolean;
}

/** Payload of SETTINGS and GOAWAY we are willing to hold: no honest peer needs near as much. */
const maxControlPayload = 4096;

/** What the next bytes are. */
type State = 'preface' | 'header' | 'payload' | 'padLength' | 'data' | 'padding' | 'skip' | 'stopped';

export class FrameDecoder {
  readonly #sink: FrameSink;
  readonly #options: DecoderOptions;
  readonly #headerBlock: HeaderBlock;
  #state: State;
  #frame: FrameHeader = { length: 0, type: 0, flags: 0, stream: 0 };
  #sawSettings = false;
  /** Bytes still to come of what the state names; for 'data' without the padding that follows. */
  #left: number;
  #padding = 0;
  readonly #scratch = Buffer.alloc(frameHeaderSize);
  /** Gathers a frame header or a control payload that came in pieces; `#held` bytes of it are there. */
  #partial = this.#scratch;
  #held = 0;

  constructor(sink: FrameSink, options: DecoderOptions) {
    this.#sink = sink;
    this.#options = options;
    this.#headerBlock = new HeaderBlock(options);
    this.#state = options.expectPreface ? 'preface' : 'header';
    this.#left = options.expectPreface ? preface.length : frameHeaderSize;
  }

  /** Nothing is called any more, not even for the rest of the chunk being decoded. */
  stop(): void {
    this.#state = 'stopped';
  }

  /** @throws H2Violation */
  write(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length && this.#state !== 'stopped') at = this.#step(chunk, at);
  }

  #step(chunk: Uint8Array, at: number): number {
    switch (this.#state) {
      case 'preface':
        return this.#readPreface(chunk, at);
      case 'header':
        return this.#readHeader(chunk, at);
      case 'payload':
        return this.#readPayload(chunk, at);
      case 'padLength':
        this.#readPadLength(chunk[at] ?? 0);
        return at + 1;
      case 'data':
        return this.#readData(chunk, at);
      case 'padding':
      case 'skip':
        return this.#readSkipped(chunk, at);
      case 'stopped':
        return chunk.length;
    }
  }

  #readPreface(chunk: Uint8Array, at: number): number {
    const size = Math.min(this.#left, chunk.length - at);
    const offset = preface.length - this.#left;
    if (preface.compare(chunk, at, at + size, offset, offset + size) !== 0) {
      throw protocolError('no HTTP/2 connection preface');
    }
    this.#left -= size;
    if (this.#left === 0) this.#expectHeader();
    return at + size;
  }

  #expectHeader(): void {
    if (this.#state === 'stopped') return;
    this.#state = 'header';
    this.#left = frameHeaderSize;
  }

  #readHeader(chunk: Uint8Array, at: number): number {
    if (this.#held === 0 && chunk.length - at >= frameHeaderSize) {
      this.#beginFrame(readFrameHeader(chunk, at));
      return at + frameHeaderSize;
    }
    const next = this.#gather(chunk, at);
    if (this.#left === 0) {
      this.#held = 0;
      this.#beginFrame(readFrameHeader(this.#partial, 0));
    }
    return next;
  }

  /** Copies what there is of `#left` more bytes to `#partial`. */
  #gather(chunk: Uint8Array, at: number): number {
    const size = Math.min(this.#left, chunk.length - at);
    this.#partial.set(chunk.subarray(at, at + size), this.#held);
    this.#held += size;
    this.#left -= size;
    return at + size;
  }

  #beginFrame(frame: FrameHeader): void {
    this.#frame = frame;
    this.#left = frame.length;
    this.#checkOrder(frame);
    checkFrameHeader(frame, this.#options.maxFrameSize);
    switch (frame.type) {
      case frameType.data:
        return this.#beginData(frame);
      case frameType.headers:
      case frameType.continuation:
        this.#headerBlock.check(frame);
        return this.#beginPayload();
      case frameType.settings:
      case frameType.goaway:
        if (frame.length > maxControlPayload) {
          throw new H2Violation(errorCode.enhanceYourCalm, `a control frame of ${frame.length} bytes`);
        }
        return this.#beginPayload();
      case frameType.rstStream:
      case frameType.ping:
      case frameType.windowUpdate:
        return this.#beginPayload();
      default:
        this.#state = 'skip';
        this.#sink.ignored(frame.type);
        if (frame.length === 0) this.#expectHeader();
    }
  }

  /** RFC 9113 §3.4: SETTINGS first. §6.10: CONTINUATION of the same stream, and only there. */
  #checkOrder(frame: FrameHeader): void {
    if (!this.#sawSettings && (frame.type !== frameType.settings || (frame.flags & flag.ack) !== 0)) {
      throw protocolError(`frame type ${frame.type} before SETTINGS`);
    }
    this.#sawSettings = true;
    const { pending } = this.#headerBlock;
    const continues = frame.type === frameType.continuation;
    if (continues !== pending > 0 || (continues && frame.stream !== pending)) {
      throw protocolError(continues ? 'CONTINUATION out of order' : 'header block interrupted');
    }
  }

  #beginPayload(): void {
    this.#state = 'payload';
    if (this.#frame.length === 0) this.#endPayload(this.#scratch.subarray(0, 0));
  }

  #readPayload(chunk: Uint8Array, at: number): number {
    const { length } = this.#frame;
    if (this.#held === 0 && chunk.length - at >= length) {
      this.#endPayload(chunk.subarray(at, at + length));
      return at + length;
    }
    if (length > this.#partial.length) this.#partial = Buffer.allocUnsafe(length);
    const next = this.#gather(chunk, at);
    if (this.#left === 0) {
      const payload = this.#partial.subarray(0, length);
      this.#held = 0;
      this.#partial = this.#scratch;
      this.#endPayload(payload);
    }
    return next;
  }

  #endPayload(payload: Uint8Array): void {
    const { type, flags, stream } = this.#frame;
    this.#expectHeader();
    switch (type) {
      case frameType.headers:
        return this.#endHeaders(this.#headerBlock.begin(this.#frame, payload));
      case frameType.continuation:
        return this.#endHeaders(this.#headerBlock.continue(this.#frame, payload));
      case frameType.settings:
        return (flags & flag.ack) === 0 ? this.#sink.settings(payload) : this.#sink.settingsAck();
      case frameType.goaway:
        return this.#sink.goaway(readUint31(payload, 0), readUint32(payload, 4), payload.subarray(8));
      case frameType.rstStream:
        return this.#sink.rstStream(stream, readUint32(payload, 0));
      case frameType.ping:
        return this.#sink.ping(payload, (flags & flag.ack) !== 0);
      default:
        return this.#sink.windowUpdate(stream, readUint31(payload, 0));
    }
  }

  #endHeaders(block: Uint8Array | undefined): void {
    if (block !== undefined) this.#sink.headers(this.#frame.stream, block, this.#headerBlock.endStream);
  }

  #beginData(frame: FrameHeader): void {
    const padded = (frame.flags & flag.padded) !== 0;
    if (padded && frame.length === 0) throw protocolError('padded DATA without room for the padding');
    this.#padding = 0;
    this.#state = padded ? 'padLength' : 'data';
    this.#sink.dataBegin(frame.stream, frame.length, (frame.flags & flag.endStream) !== 0);
    if (frame.length === 0) this.#endData();
  }

  #readPadLength(padding: number): void {
    this.#padding = padding;
    this.#left = this.#frame.length - 1 - padding;
    if (this.#left < 0) throw protocolError('DATA shorter than its padding');
    this.#state = 'data';
    if (this.#left === 0) this.#beginPadding();
  }

  #readData(chunk: Uint8Array, at: number): number {
    const end = Math.min(at + this.#left, chunk.length);
    this.#left -= end - at;
    this.#sink.data(at === 0 && end === chunk.length ? chunk : chunk.subarray(at, end));
    if (this.#left === 0 && this.#state === 'data') this.#beginPadding();
    return end;
  }

  #beginPadding(): void {
    this.#left = this.#padding;
    this.#state = 'padding';
    if (this.#padding === 0) this.#endData();
  }

  #endData(): void {
    this.#expectHeader();
    this.#sink.dataEnd();
  }

  #readSkipped(chunk: Uint8Array, at: number): number {
    const size = Math.min(this.#left, chunk.length - at);
    this.#left -= size;
    if (this.#left > 0) return at + size;
    if (this.#state === 'padding') this.#endData();
    else this.#expectHeader();
    return at + size;
  }
}
