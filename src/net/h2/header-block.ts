/**
 * Puts a HEADERS frame and its CONTINUATION frames together (RFC 9113 §4.3, §6.10). A block is bounded in bytes and
 * in frames, because nothing in the protocol bounds it (CVE-2024-27316 and its kin).
 */
import { flag } from './constants.ts';
import { H2Violation, errorCode } from './errors.ts';
import type { FrameHeader } from './frame.ts';
import { protocolError } from './frame-rules.ts';

export interface HeaderBlockLimits {
  /** Compressed bytes of a block. */
  readonly maxHeaderBlockBytes: number;
  /** CONTINUATION frames of a block. */
  readonly maxContinuations: number;
}

export class HeaderBlock {
  readonly #limits: HeaderBlockLimits;
  #stream = 0;
  #endStream = false;
  #parts: Uint8Array[] = [];
  #bytes = 0;

  constructor(limits: HeaderBlockLimits) {
    this.#limits = limits;
  }

  /** The stream whose CONTINUATION must come next; 0 when none is due. */
  get pending(): number {
    return this.#stream;
  }

  get endStream(): boolean {
    return this.#endStream;
  }

  /** Before the payload is there: @throws H2Violation ENHANCE_YOUR_CALM when it would be too much. */
  check(frame: FrameHeader): void {
    if (this.#bytes + frame.length > this.#limits.maxHeaderBlockBytes) {
      throw tooMuch('bytes in a header block');
    }
    if (this.#parts.length > this.#limits.maxContinuations) throw tooMuch('CONTINUATION frames');
  }

  /** The first frame. Returns the block if that was all of it. `payload` must stay as it is until then. */
  begin(frame: FrameHeader, payload: Uint8Array): Uint8Array | undefined {
    this.#endStream = (frame.flags & flag.endStream) !== 0;
    return this.#add(frame, fragment(frame, payload));
  }

  continue(frame: FrameHeader, payload: Uint8Array): Uint8Array | undefined {
    return this.#add(frame, payload);
  }

  #add(frame: FrameHeader, part: Uint8Array): Uint8Array | undefined {
    if ((frame.flags & flag.endHeaders) === 0) {
      this.#stream = frame.stream;
      // A copy: the payload is a view of a chunk that is not ours.
      this.#parts.push(Buffer.from(part));
      this.#bytes += part.length;
      return undefined;
    }
    const block = this.#parts.length === 0 ? part : Buffer.concat([...this.#parts, part]);
    this.#stream = this.#bytes = 0;
    this.#parts = [];
    return block;
  }
}

/** The payload of HEADERS without padding and the five bytes of the obsolete priority (RFC 9113 §6.2). */
function fragment(frame: FrameHeader, payload: Uint8Array): Uint8Array {
  const padded = (frame.flags & flag.padded) !== 0;
  const padding = padded ? (payload[0] ?? payload.length) : 0;
  const start = (padded ? 1 : 0) + ((frame.flags & flag.priority) === 0 ? 0 : 5);
  if (start + padding > payload.length) throw protocolError('HEADERS shorter than its padding and priority');
  return payload.subarray(start, payload.length - padding);
}

const tooMuch = (what: string): H2Violation => new H2Violation(errorCode.enhanceYourCalm, `too many ${what}`);
