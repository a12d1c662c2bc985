/**
 * What the decoder makes of the peer's bytes: one call a frame, except that DATA is told as it arrives and HEADERS with
 * its CONTINUATION frames is one call. Everything a frame can get wrong by itself (size, stream 0, padding, order of
 * CONTINUATION) has been checked; what depends on the state of streams has not.
 */
export interface FrameSink {
  /** A DATA frame begins. `length` counts against flow control: payload and padding. */
  dataBegin(stream: number, length: number, endStream: boolean): void;
  /** Some of its payload: a view of what the decoder was fed. */
  data(bytes: Uint8Array): void;
  /** The frame is complete, padding included. */
  dataEnd(): void;
  /** A complete header block, compressed. */
  headers(stream: number, block: Uint8Array, endStream: boolean): void;
  rstStream(stream: number, code: number): void;
  /** Whole entries of 6 bytes. */
  settings(entries: Uint8Array): void;
  settingsAck(): void;
  /** `opaque` has 8 bytes. */
  ping(opaque: Uint8Array, ack: boolean): void;
  goaway(lastStream: number, code: number, debug: Uint8Array): void;
  /** `stream` 0 is the connection; `increment` may be 0, which is an error of that stream or the connection. */
  windowUpdate(stream: number, increment: number): void;
  /** PRIORITY, or a type we do not know: nothing to do, but it cost us something. */
  ignored(type: number): void;
}

/** The 9 bytes in front of a payload (RFC 9113 §4.1). */
export interface FrameHeader {
  readonly length: number;
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
}

export const readUint32 = (bytes: Uint8Array, at: number): number =>
  (((bytes[at] ?? 0) << 24) |
    ((bytes[at + 1] ?? 0) << 16) |
    ((bytes[at + 2] ?? 0) << 8) |
    (bytes[at + 3] ?? 0)) >>>
  0;

export const readUint16 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);

/** 31 bits; the reserved one is ignored (RFC 9113 §4.1). */
export const readUint31 = (bytes: Uint8Array, at: number): number => readUint32(bytes, at) & 0x7fff_ffff;

export function readFrameHeader(bytes: Uint8Array, at: number): FrameHeader {
  return {
    length: (readUint16(bytes, at) << 8) | (bytes[at + 2] ?? 0),
    type: bytes[at + 3] ?? 0,
    flags: bytes[at + 4] ?? 0,
    stream: readUint31(bytes, at + 5),
  };
}
