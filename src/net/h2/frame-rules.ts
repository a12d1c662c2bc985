/** What a frame's 9-byte header alone may get wrong (RFC 9113 §4.2 and §6). All of it ends the connection. */
import { flag, frameType } from './constants.ts';
import { H2Violation, errorCode } from './errors.ts';
import type { FrameHeader } from './frame.ts';

interface Rule {
  readonly name: string;
  readonly on: 'connection' | 'stream' | 'either';
  readonly fits: (length: number) => boolean;
}

const exactly =
  (size: number) =>
  (length: number): boolean =>
    length === size;
const anyLength = (): boolean => true;

const rules = new Map<number, Rule>([
  [frameType.data, { name: 'DATA', on: 'stream', fits: anyLength }],
  [frameType.headers, { name: 'HEADERS', on: 'stream', fits: anyLength }],
  [frameType.priority, { name: 'PRIORITY', on: 'stream', fits: exactly(5) }],
  [frameType.rstStream, { name: 'RST_STREAM', on: 'stream', fits: exactly(4) }],
  [frameType.settings, { name: 'SETTINGS', on: 'connection', fits: (length) => length % 6 === 0 }],
  [frameType.pushPromise, { name: 'PUSH_PROMISE', on: 'stream', fits: anyLength }],
  [frameType.ping, { name: 'PING', on: 'connection', fits: exactly(8) }],
  [frameType.goaway, { name: 'GOAWAY', on: 'connection', fits: (length) => length >= 8 }],
  [frameType.windowUpdate, { name: 'WINDOW_UPDATE', on: 'either', fits: exactly(4) }],
  [frameType.continuation, { name: 'CONTINUATION', on: 'stream', fits: anyLength }],
]);

/** @throws H2Violation FRAME_SIZE_ERROR or PROTOCOL_ERROR. Unknown frame types need only fit `maxFrameSize`. */
export function checkFrameHeader(frame: FrameHeader, maxFrameSize: number): void {
  const rule = rules.get(frame.type);
  if (frame.length > maxFrameSize || rule?.fits(frame.length) === false) {
    throw new H2Violation(
      errorCode.frameSizeError,
      `${rule?.name ?? `frame type ${frame.type}`} of ${frame.length} bytes`,
    );
  }
  if (rule === undefined) return;
  if (rule.on === 'stream' && frame.stream === 0) throw protocolError(`${rule.name} on stream 0`);
  if (rule.on === 'connection' && frame.stream !== 0) {
    throw protocolError(`${rule.name} on stream ${frame.stream}`);
  }
  // Clients forbid push in their SETTINGS, and servers never receive one (RFC 9113 §8.4).
  if (frame.type === frameType.pushPromise) throw protocolError('PUSH_PROMISE, though push is off');
  if (frame.type === frameType.settings && (frame.flags & flag.ack) !== 0 && frame.length !== 0) {
    throw new H2Violation(errorCode.frameSizeError, 'acknowledgement of SETTINGS with a payload');
  }
}

export const protocolError = (reason: string): H2Violation =>
  new H2Violation(errorCode.protocolError, reason);
