/** Frames as a test writes and reads them: made and taken apart without the code under test. */

export const type = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const;

export type FrameName = keyof typeof type;

export const END_STREAM = 0x1;
export const ACK = 0x1;
export const END_HEADERS = 0x4;
export const PADDED = 0x8;
export const PRIORITY = 0x20;

export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

const codes = [
  'NO_ERROR',
  'PROTOCOL_ERROR',
  'INTERNAL_ERROR',
  'FLOW_CONTROL_ERROR',
  'SETTINGS_TIMEOUT',
  'STREAM_CLOSED',
  'FRAME_SIZE_ERROR',
  'REFUSED_STREAM',
  'CANCEL',
  'COMPRESSION_ERROR',
  'CONNECT_ERROR',
  'ENHANCE_YOUR_CALM',
];

export type CodeName =
  | 'NO_ERROR'
  | 'PROTOCOL_ERROR'
  | 'FLOW_CONTROL_ERROR'
  | 'STREAM_CLOSED'
  | 'FRAME_SIZE_ERROR'
  | 'REFUSED_STREAM'
  | 'CANCEL'
  | 'COMPRESSION_ERROR'
  | 'ENHANCE_YOUR_CALM';

export function frame(
  name: FrameName | number,
  flags: number,
  stream: number,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = typeof name === 'number' ? name : type[name];
  header[4] = flags;
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}

export function uint32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, i) => bytes.writeUInt32BE(value, i * 4));
  return bytes;
}

/** Entries of a SETTINGS frame: identifier, value, identifier, value, … */
export function settings(...pairs: number[]): Buffer {
  const bytes = Buffer.alloc(pairs.length * 3);
  for (let i = 0; i < pairs.length; i += 2) {
    bytes.writeUInt16BE(pairs[i] ?? 0, i * 3);
    bytes.writeUInt32BE(pairs[i + 1] ?? 0, i * 3 + 2);
  }
  return frame('SETTINGS', 0, 0, bytes);
}

const shortString = (text: string): Buffer =>
  Buffer.concat([Buffer.from([text.length]), Buffer.from(text, 'latin1')]);

/** A header block of literals that are never indexed and not Huffman-coded; short strings only. */
export function block(fields: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(
    fields.flatMap(([name, value]) => [Buffer.from([0x10]), shortString(name), shortString(value)]),
  );
}

export const connectFields = [
  [':method', 'CONNECT'],
  [':authority', '10.0.0.7:8080'],
] as const;

export const headers = (
  stream: number,
  fields: readonly (readonly [string, string])[],
  flags: number = END_HEADERS,
): Buffer => frame('HEADERS', flags, stream, block(fields));

export const connect = (stream: number, flags: number = END_HEADERS): Buffer =>
  headers(stream, connectFields, flags);

export const ok = (stream: number, flags: number = END_HEADERS): Buffer =>
  headers(stream, [[':status', '200']], flags);

export const data = (stream: number, bytes: string | Uint8Array, flags = 0): Buffer =>
  frame('DATA', flags, stream, Buffer.from(bytes));

export interface SeenFrame {
  readonly name: string;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** The frames in what a session sent; a client's preface is one called PREFACE. */
export function parseFrames(bytes: Uint8Array): SeenFrame[] {
  const buffer = Buffer.from(bytes);
  const frames: SeenFrame[] = [];
  let at = 0;
  if (buffer.subarray(0, 24).equals(preface)) {
    frames.push({ name: 'PREFACE', flags: 0, stream: 0, payload: Buffer.alloc(0) });
    at = 24;
  }
  const names = Object.keys(type);
  while (at < buffer.length) {
    const length = buffer.readUIntBE(at, 3);
    frames.push({
      name: names[buffer[at + 3] ?? 255] ?? 'UNKNOWN',
      flags: buffer[at + 4] ?? 0,
      stream: buffer.readUInt32BE(at + 5),
      payload: buffer.subarray(at + 9, at + 9 + length),
    });
    at += 9 + length;
  }
  if (at !== buffer.length) throw new Error('the session sent half a frame');
  return frames;
}

/** One line a frame, with what matters in it: `RST_STREAM 1 CANCEL`, `DATA 3 "abc" END`. */
export function describeFrame({ name, flags, stream, payload }: SeenFrame): string {
  const end = (flags & END_STREAM) === 0 ? '' : ' END';
  switch (name) {
    case 'DATA':
      return `DATA ${stream} ${payload.length > 16 ? `${payload.length} bytes` : `"${payload.toString()}"`}${end}`;
    case 'HEADERS':
      return `HEADERS ${stream}${end}`;
    case 'RST_STREAM':
      return `RST_STREAM ${stream} ${codes[payload.readUInt32BE(0)]}`;
    case 'GOAWAY':
      return `GOAWAY ${payload.readUInt32BE(0)} ${codes[payload.readUInt32BE(4)]}`;
    case 'WINDOW_UPDATE':
      return `WINDOW_UPDATE ${stream} ${payload.readUInt32BE(0)}`;
    case 'SETTINGS':
    case 'PING':
      return (flags & ACK) === 0 ? name : `${name} ACK`;
    default:
      return name;
  }
}
