/**
 * The sending half of DATA: queues, send windows, and whose turn it is. Streams take turns of at most `quantum` bytes, so
 * neither a bulk transfer nor a window shared by all lets one stream starve another. A native byte mover would replace
 * this class and `DataReceiver`; it decides nothing about streams.
 */
import { frameHeaderSize, initialWindow, maxWindow } from './constants.ts';
import { encodeDataHeader } from './encode.ts';
import type { Stream } from './stream.ts';

/**
 * Bytes of one frame. Larger ones save nothing and make other streams wait longer. With its header it fills four TLS
 * records (RFC 8446 §5.1) to the last byte: a fifth one with nine bytes in it would cost as much as a full one.
 */
const quantum = (64 << 10) - frameHeaderSize;
/** What may be added to a frame if the queue is empty then, rather than making another. */
const remainder = 1 << 10;

export class DataSender {
  /** Told by how much more, or less, is queued. Called last: it may end streams. */
  readonly #queued: (deltaBytes: number) => void;
  /** What the connection may still send, over all streams. */
  #window = initialWindow;
  /** Streams with queued bytes and an open window, the next to send first. */
  readonly #ready = new Set<Stream>();
  #queuedBytes = 0;

  constructor(queued: (deltaBytes: number) => void = () => {}) {
    this.#queued = queued;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** There is DATA that may be sent now. */
  get ready(): boolean {
    return this.#window > 0 && this.#ready.size > 0;
  }

  push(stream: Stream, bytes: Uint8Array): void {
    stream.sendQueue.push(bytes);
    this.#queuedBytes += bytes.length;
    this.#schedule(stream);
    this.#queued(bytes.length);
  }

  /** Drops what the stream has queued. */
  drop(stream: Stream): void {
    const dropped = stream.sendQueue.bytes;
    this.#queuedBytes -= dropped;
    stream.sendQueue.clear();
    this.#ready.delete(stream);
    if (dropped > 0) this.#queued(-dropped);
  }

  /** False: the connection's window would exceed 2^31-1 (RFC 9113 §6.9.1). */
  growWindow(increment: number): boolean {
    this.#window += increment;
    return this.#window <= maxWindow;
  }

  /** The same for a stream; `delta` is below 0 when the peer lowered its initial window. */
  growStreamWindow(stream: Stream, delta: number): boolean {
    stream.sendWindow += delta;
    if (stream.sendWindow <= 0) this.#ready.delete(stream);
    this.#schedule(stream);
    return stream.sendWindow <= maxWindow;
  }

  /** Adds frames of about `budget` bytes to `out`; calls `sent` after each, with its payload's size. */
  emit(
    out: Uint8Array[],
    budget: number,
    maxFrameSize: number,
    sent: (stream: Stream, bytes: number, endStream: boolean) => void,
  ): void {
    for (let left = budget; left > 0 && this.#window > 0;) {
      const stream = this.#ready.values().next().value;
      if (stream === undefined) return;
      this.#ready.delete(stream);
      const queued = stream.sendQueue.bytes;
      const share = queued <= quantum + remainder ? queued : quantum;
      const bytes = Math.min(share, stream.sendWindow, this.#window, maxFrameSize);
      const endStream = stream.ending && bytes === queued;
      out.push(encodeDataHeader(stream.id, bytes, endStream));
      this.#take(stream, bytes, out);
      left -= frameHeaderSize + bytes;
      sent(stream, bytes, endStream);
    }
  }

  #take(stream: Stream, bytes: number, out: Uint8Array[]): void {
    stream.sendQueue.take(bytes, out);
    stream.sendWindow -= bytes;
    this.#window -= bytes;
    this.#queuedBytes -= bytes;
    this.#schedule(stream);
    this.#queued(-bytes);
  }

  #schedule(stream: Stream): void {
    if (stream.sendQueue.bytes > 0 && stream.sendWindow > 0) this.#ready.add(stream);
  }
}
