/** SETTINGS (RFC 9113 §6.5): what we advertise, and what the peer did. */
import { initialWindow, maxMaxFrameSize, maxWindow, minMaxFrameSize, settingId } from './constants.ts';
import { H2Violation, errorCode } from './errors.ts';
import { readUint16, readUint32 } from './frame.ts';
import { protocolError } from './frame-rules.ts';

export interface LocalSettings {
  /** Receive window of a new stream, bytes. */
  readonly streamWindow: number;
  /** Receive window of the connection, bytes; given by a WINDOW_UPDATE right after SETTINGS. */
  readonly connectionWindow: number;
  /** Largest frame payload we accept, bytes. */
  readonly maxFrameSize: number;
  /** Largest header list we accept, as RFC 9113 §6.5.2 counts it: names, values and 32 bytes a field. */
  readonly maxHeaderListSize: number;
  /** Server: streams a peer may have open. Client: streams we open at most, whatever the peer allows. */
  readonly maxConcurrentStreams: number;
}

const common = {
  streamWindow: 4 << 20,
  // Four times the stream's: with equal sizes one unread stream would stop all others.
  connectionWindow: 16 << 20,
  maxFrameSize: 1 << 20,
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

/** What the peer allows us. Starts with RFC 9113's initial values; a value is good from the frame that brings it. */
export class PeerSettings {
  /** Send window of a new stream. */
  streamWindow = initialWindow;
  maxFrameSize = minMaxFrameSize;
  maxConcurrentStreams = Number.POSITIVE_INFINITY;

  readonly #peer: 'client' | 'server';

  constructor(peer: 'client' | 'server') {
    this.#peer = peer;
  }

  /**
   * Applies the entries of one frame in order; unknown ones, and those that say nothing to us, are ignored.
   * @throws H2Violation for a value out of its range
   */
  apply(entries: Uint8Array): void {
    for (let at = 0; at < entries.length; at += 6) {
      this.#set(readUint16(entries, at), readUint32(entries, at + 2));
    }
  }

  #set(id: number, value: number): void {
    switch (id) {
      case settingId.enablePush:
        // Only a client may say 1; it would mean nothing, for we never push.
        if (value > (this.#peer === 'client' ? 1 : 0)) throw protocolError(`ENABLE_PUSH ${value}`);
        break;
      case settingId.maxConcurrentStreams:
        this.maxConcurrentStreams = value;
        break;
      case settingId.initialWindowSize:
        if (value > maxWindow) {
          throw new H2Violation(errorCode.flowControlError, `INITIAL_WINDOW_SIZE ${value}`);
        }
        this.streamWindow = value;
        break;
      case settingId.maxFrameSize:
        if (value < minMaxFrameSize || value > maxMaxFrameSize) {
          throw protocolError(`MAX_FRAME_SIZE ${value}`);
        }
        this.maxFrameSize = value;
        break;
      default:
    }
  }
}
