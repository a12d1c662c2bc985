/** Frames as bytes. Pure; DATA is only its header here, the payload goes by reference. */
import { flag, frameHeaderSize, frameType, settingId } from './constants.ts';
import type { LocalSettings } from './settings.ts';

function allocate(length: number, type: number, flags: number, stream: number): Buffer {
  const frame = Buffer.allocUnsafe(frameHeaderSize + length);
  writeHeader(frame, length, type, flags, stream);
  return frame;
}

function writeHeader(frame: Buffer, length: number, type: number, flags: number, stream: number): void {
  frame[0] = length >>> 16;
  frame[1] = length >>> 8;
  frame[2] = length;
  frame[3] = type;
  frame[4] = flags;
  writeUint32(frame, 5, stream);
}

function writeUint32(frame: Buffer, at: number, value: number): void {
  frame[at] = value >>> 24;
  frame[at + 1] = value >>> 16;
  frame[at + 2] = value >>> 8;
  frame[at + 3] = value;
}

/** The 9 bytes before `length` bytes of payload. */
export const encodeDataHeader = (stream: number, length: number, endStream: boolean): Buffer => {
  const frame = Buffer.allocUnsafe(frameHeaderSize);
  writeHeader(frame, length, frameType.data, endStream ? flag.endStream : 0, stream);
  return frame;
};

/** HEADERS, and CONTINUATION as long as the block exceeds `maxFrameSize`: one buffer, nothing may come between. */
export function encodeHeaders(
  stream: number,
  block: Uint8Array,
  endStream: boolean,
  maxFrameSize: number,
): Buffer {
  const parts: Buffer[] = [];
  let at = 0;
  do {
    const length = Math.min(block.length - at, maxFrameSize);
    const last = at + length === block.length ? flag.endHeaders : 0;
    const type = at === 0 ? frameType.headers : frameType.continuation;
    const frame = allocate(length, type, last | (at === 0 && endStream ? flag.endStream : 0), stream);
    frame.set(block.subarray(at, at + length), frameHeaderSize);
    parts.push(frame);
    at += length;
  } while (at < block.length);
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
}

export function encodeRstStream(stream: number, code: number): Buffer {
  const frame = allocate(4, frameType.rstStream, 0, stream);
  writeUint32(frame, frameHeaderSize, code);
  return frame;
}

export function encodeWindowUpdate(stream: number, increment: number): Buffer {
  const frame = allocate(4, frameType.windowUpdate, 0, stream);
  writeUint32(frame, frameHeaderSize, increment);
  return frame;
}

/** `opaque` must have 8 bytes. */
export function encodePing(opaque: Uint8Array, ack: boolean): Buffer {
  const frame = allocate(8, frameType.ping, ack ? flag.ack : 0, 0);
  frame.set(opaque, frameHeaderSize);
  return frame;
}

export function encodeGoaway(lastStream: number, code: number, debug: string): Buffer {
  const text = Buffer.from(debug, 'latin1');
  const frame = allocate(8 + text.length, frameType.goaway, 0, 0);
  writeUint32(frame, frameHeaderSize, lastStream);
  writeUint32(frame, frameHeaderSize + 4, code);
  frame.set(text, frameHeaderSize + 8);
  return frame;
}

export const encodeSettingsAck = (): Buffer => allocate(0, frameType.settings, flag.ack, 0);

/** Clients forbid push and servers bound the streams; what remains is the same for both. */
export function encodeSettings(settings: LocalSettings, role: 'client' | 'server'): Buffer {
  const entries: (readonly [id: number, value: number])[] = [
    role === 'client'
      ? [settingId.enablePush, 0]
      : [settingId.maxConcurrentStreams, settings.maxConcurrentStreams],
    [settingId.initialWindowSize, settings.streamWindow],
    [settingId.maxFrameSize, settings.maxFrameSize],
    [settingId.maxHeaderListSize, settings.maxHeaderListSize],
  ];
  const frame = allocate(entries.length * 6, frameType.settings, 0, 0);
  entries.forEach(([id, value], i) => {
    frame.writeUInt16BE(id, frameHeaderSize + i * 6);
    writeUint32(frame, frameHeaderSize + i * 6 + 2, value);
  });
  return frame;
}
