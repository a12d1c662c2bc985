/** SETTINGS (RFC 9113 §6.5): what we advertise, and what the peer may. */

export interface LocalSettings {
  /** Receive window of a new stream, bytes. */
  readonly streamWindow: number;
  /** Receive window of the connection, bytes; given by a WINDOW_UPDATE right after SETTINGS. */
  readonly connectionWindow: number;
  /** Largest frame payload we accept, bytes. */
  readonly maxFrameSize: number;
  /** Largest header list we accept, as RFC 9113 §6.5.2 counts it: names, values and 32 bytes a field. */
  readonly maxHeaderListSize: number;
  /** Dynamic table for the peer's field compression, bytes. */
  readonly headerTableSize: number;
  /** Server: streams a peer may have open. Client: streams we open at most, whatever the peer allows. */
  readonly maxConcurrentStreams: number;
}

const common = {
  streamWindow: 4 << 20,
  // Four times the stream's: with equal sizes one unread stream would stop all others.
  connectionWindow: 16 << 20,
  maxFrameSize: 1 << 20,
  headerTableSize: 4096,
} as const;

export const clientSettings: LocalSettings = {
  ...common,
  maxHeaderListSize: 16 << 10,
  maxConcurrentStreams: 100,
};

export const serverSettings: LocalSettings = {
  ...common,
  maxHeaderListSize: 64 << 10,
  maxConcurrentStreams: 200,
};
