/** The numbers of RFC 9113 that more than one file needs. */

/** What a client sends first (§3.4). */
export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** Length, type, flags and stream identifier in front of every payload (§4.1). */
export const frameHeaderSize = 9;

/** Frame types (§6). */
export const frameType = {
  data: 0x0,
  headers: 0x1,
  priority: 0x2,
  rstStream: 0x3,
  settings: 0x4,
  pushPromise: 0x5,
  ping: 0x6,
  goaway: 0x7,
  windowUpdate: 0x8,
  continuation: 0x9,
} as const;

/** Frame flags (§6); the same bit means different things in different frames. */
export const flag = {
  endStream: 0x1,
  ack: 0x1,
  endHeaders: 0x4,
  padded: 0x8,
  priority: 0x20,
} as const;

/** Identifiers of settings (§6.5.2). */
export const settingId = {
  headerTableSize: 0x1,
  enablePush: 0x2,
  maxConcurrentStreams: 0x3,
  initialWindowSize: 0x4,
  maxFrameSize: 0x5,
  maxHeaderListSize: 0x6,
} as const;

/** Initial window of the connection and of every stream (§6.9.2), bytes. */
export const initialWindow = 65_535;
/** No window may grow beyond this (§6.9.1). */
export const maxWindow = 2 ** 31 - 1;
/** What every peer accepts (§4.2), and the most a peer may be told to accept, bytes. */
export const minMaxFrameSize = 16_384;
export const maxMaxFrameSize = 2 ** 24 - 1;
/** Stream identifiers have 31 bits (§5.1.1). */
export const maxStreamId = 2 ** 31 - 1;
