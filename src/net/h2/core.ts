/**
 * The state that the owner's commands (`session.ts`) and the peer's frames (`frame-handler.ts`) share, and the transitions
 * both can cause: streams opened and gone, capacity, drain, the end. Nothing outside this folder sees it.
 */
import { MeshError } from '../../base/errors.ts';
import { Budget } from './budget.ts';
import { ControlQueue } from './control-queue.ts';
import { initialWindow, maxStreamId } from './constants.ts';
import type { H2Handler, H2SessionDeps, H2SessionOptions, StreamId } from './contract.ts';
import { DataReceiver } from './data-receiver.ts';
import { DataSender } from './data-sender.ts';
import { encodeGoaway, encodePing, encodeRstStream, encodeWindowUpdate } from './encode.ts';
import { type ErrorCode, H2Violation, describeErrorCode, errorCode, streamViolation } from './errors.ts';
import { ReceiveWindow } from './flow-control.ts';
import { defaultLimits, type H2Limits } from './limits.ts';
import { Pings } from './pings.ts';
import { type LocalSettings, PeerSettings, clientSettings, serverSettings } from './settings.ts';
import { Stream } from './stream.ts';
import { StreamTable } from './stream-table.ts';

/** Idle frames earned by a DATA frame: some for the frame, and one more for so many bytes. */
const earnedPerFrame = 2;
const bytesPerEarned = 2048;

export class SessionCore {
  readonly role: 'client' | 'server';
  readonly handler: H2Handler;
  readonly local: LocalSettings;
  readonly limits: H2Limits;
  readonly peer: PeerSettings;
  readonly streams: StreamTable;
  readonly control = new ControlQueue();
  readonly sender: DataSender;
  readonly receiver: DataReceiver;
  readonly pings = new Pings();
  readonly idleFrames: Budget;
  readonly wastedStreams: Budget;

  closed = false;
  /** Set by the session: nothing more is to be decoded, not even the rest of the chunk at hand. */
  stopReading: () => void = () => {};
  /**
   * Whether new streams are still taken. `announced`: GOAWAY is out, but requests that crossed it are served.
   * `final`: no more; the session closes with its last stream.
   */
  draining: 'no' | 'announced' | 'final' = 'no';
  /** The peer's GOAWAY came: it takes no new streams. */
  peerLeaving = false;
  /** Why the peer ends the connection, if its GOAWAY had an error. */
  #farewell: MeshError | undefined;

  readonly #wake: () => void;
  /** `wake` was called, and no `pull` came back empty since. */
  #woken = false;
  /** Our SETTINGS are in force at the peer. Until then it may believe in RFC 9113's initial window. */
  #settingsAcknowledged = false;
  /** The owner saw `availableStreams` at 0 and waits for `onCapacity`. */
  #starved = false;

  constructor(deps: H2SessionDeps, options: H2SessionOptions) {
    this.role = options.role;
    this.handler = deps.handler;
    this.#wake = deps.wake;
    this.sender = new DataSender(deps.queued);
    const settings = options.role === 'client' ? clientSettings : serverSettings;
    this.local = { ...settings, ...options.settings };
    this.limits = { ...defaultLimits, ...options.limits };
    this.peer = new PeerSettings(options.role === 'client' ? 'server' : 'client');
    this.streams = new StreamTable(options.role);
    this.idleFrames = new Budget(deps.clock, this.limits.idleFrames);
    this.wastedStreams = new Budget(deps.clock, this.limits.wastedStreams);
    this.receiver = new DataReceiver(
      {
        grant: (stream, increment) => {
          if (!this.closed) this.push(encodeWindowUpdate(stream, increment));
        },
        deliver: (stream, bytes) => this.handler.onData(stream.id, bytes),
      },
      { connectionWindow: this.local.connectionWindow, unconsumedBytes: this.limits.unconsumedBytes },
    );
  }

  get availableStreams(): number {
    if (this.noMoreStreams) return 0;
    const allowed = Math.min(this.local.maxConcurrentStreams, this.peer.maxConcurrentStreams);
    return Math.max(0, allowed - this.streams.size);
  }

  /** Not now and not later: `availableStreams` stays 0. */
  get noMoreStreams(): boolean {
    const over = this.closed || this.draining !== 'no' || this.peerLeaving;
    return over || this.streams.nextId === undefined;
  }

  /** Queues a control frame. */
  push(frame: Buffer): void {
    this.control.push(frame);
    this.wake();
  }

  /** Queues what a frame of the peer's asked for: @throws H2Violation when it asks faster than it reads. */
  reply(frame: Buffer): void {
    this.push(frame);
    if (this.control.length > this.limits.queuedControlFrames) {
      throw new H2Violation(errorCode.enhanceYourCalm, 'the peer provokes replies and does not read them');
    }
  }

  wake(): void {
    if (this.#woken || (this.control.length === 0 && !this.sender.ready)) return;
    this.#woken = true;
    this.#wake();
  }

  pull(budget: number): Uint8Array[] {
    const out: Uint8Array[] = [];
    const bytes = this.control.take(out);
    this.sender.emit(out, budget - bytes, this.peer.maxFrameSize, this.#sent);
    this.#woken = out.length > 0;
    return out;
  }

  readonly #sent = (stream: Stream, bytes: number, endStream: boolean): void => {
    this.earnIdleFrames(bytes);
    if (endStream) return this.localEnded(stream);
    if (stream.waiting && stream.sendQueue.weight <= this.limits.sendQueueBytes / 2) {
      stream.waiting = false;
      this.handler.onWritable(stream.id);
    }
  };

  /** DATA of `bytes` moved, in either direction: it may honestly cause window updates. */
  earnIdleFrames(bytes: number): void {
    this.idleFrames.earn(earnedPerFrame + bytes / bytesPerEarned);
  }

  addStream(id: StreamId): Stream {
    const { streamWindow } = this.local;
    const initial = this.#settingsAcknowledged ? streamWindow : Math.max(streamWindow, initialWindow);
    const window = new ReceiveWindow({ initial, size: streamWindow });
    const stream = new Stream(id, window, this.peer.streamWindow);
    this.streams.add(stream);
    this.noteCapacity();
    return stream;
  }

  /** From here on the peer honours our window; until now it may have used a larger initial one. */
  settingsAcknowledged(): void {
    if (this.#settingsAcknowledged) return;
    this.#settingsAcknowledged = true;
    const excess = initialWindow - this.local.streamWindow;
    if (excess > 0) for (const stream of this.streams.all()) stream.receiveWindow.shift(-excess);
  }

  /** Our END_STREAM is on its way. */
  localEnded(stream: Stream): void {
    stream.localOpen = false;
    this.handler.onSent(stream.id);
    this.finish(stream);
  }

  /** Closes a stream that both sides have ended. */
  finish(stream: Stream): void {
    if (stream.localOpen || stream.remoteOpen || this.streams.get(stream.id) !== stream) return;
    this.streams.close(stream);
    this.#streamGone();
  }

  /** We reset it. */
  reset(stream: Stream, code: ErrorCode): void {
    this.sender.drop(stream);
    this.receiver.drop(stream);
    this.streams.reset(stream);
    this.push(encodeRstStream(stream.id, code));
    this.#streamGone();
  }

  /** The peer broke a rule on this stream: the stream ends, the connection goes on. */
  fail(stream: Stream, code: ErrorCode, reason: string): void {
    this.reset(stream, code);
    this.handler.onReset(stream.id, code, streamViolation(code, reason));
  }

  /** The peer reset or refused it. */
  resetByPeer(stream: Stream, code: ErrorCode, error: MeshError): void {
    this.sender.drop(stream);
    this.receiver.drop(stream);
    this.streams.delete(stream);
    this.handler.onReset(stream.id, code, error);
    this.#streamGone();
  }

  /** First half of a drain. A client refuses nothing by it, so it needs no second half. */
  drain(): void {
    if (this.closed || this.draining !== 'no') return;
    if (this.role === 'client') return this.drainFinally();
    this.draining = 'announced';
    // RFC 9113 §6.8: requests may be under way to us; the PING comes back when all of them have arrived.
    this.push(encodeGoaway(maxStreamId, errorCode.noError, ''));
    this.push(encodePing(this.pings.start('drain'), false));
  }

  drainFinally(): void {
    this.draining = 'final';
    const last = this.role === 'server' ? this.streams.last : 0;
    this.push(encodeGoaway(last, errorCode.noError, ''));
    this.closeIfDrained();
  }

  peerSaysGoodbye(code: ErrorCode, debug: Uint8Array): void {
    this.peerLeaving = true;
    this.noteCapacity();
    if (code === errorCode.noError) return;
    const text = Buffer.from(debug)
      .toString('latin1', 0, 200)
      .replaceAll(/[^ -~]/g, '.');
    const reason = `the peer ended the connection with ${describeErrorCode(code)}`;
    this.#farewell = new MeshError('PEER_GONE', text === '' ? reason : `${reason} (${text})`);
  }

  closeIfDrained(): void {
    if ((this.draining === 'final' || this.peerLeaving) && this.streams.size === 0) {
      this.close(this.#farewell);
    }
  }

  /** The connection is gone. Clean only if nothing was going on. */
  transportClosed(error: MeshError | undefined): void {
    const gone = new MeshError('PEER_GONE', 'the peer closed the connection');
    this.control.clear();
    this.close(error ?? this.#farewell ?? (this.streams.size > 0 ? gone : undefined));
  }

  /** The end. With `goaway` the peer is told why. */
  close(error: MeshError | undefined, goaway?: { readonly code: ErrorCode; readonly debug: string }): void {
    if (this.closed) return;
    this.closed = true;
    this.stopReading();
    if (goaway !== undefined) {
      const last = this.role === 'server' ? this.streams.last : 0;
      this.push(encodeGoaway(last, goaway.code, goaway.debug));
    }
    const streamError = error ?? new MeshError('PEER_GONE', 'the HTTP/2 connection ended');
    for (const stream of this.streams.all()) {
      this.sender.drop(stream);
      this.receiver.drop(stream);
      this.streams.delete(stream);
      this.handler.onReset(stream.id, errorCode.cancel, streamError);
    }
    this.handler.onClosed(error);
  }

  #streamGone(): void {
    this.noteCapacity();
    this.closeIfDrained();
  }

  /** Tells the owner when streams become available after there were none. */
  noteCapacity(): void {
    const none = this.availableStreams === 0;
    const regained = this.#starved && !none;
    this.#starved = none;
    if (regained && this.role === 'client') this.handler.onCapacity();
  }
}
