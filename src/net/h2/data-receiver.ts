/**
 * The receiving half of DATA: receive windows, and what they get back. It knows the frame being received and delivers
 * its payload; whether a stream may get DATA at all was decided before. A native byte mover would replace this class
 * and `DataSender`.
 */
import { initialWindow } from './constants.ts';
import { H2Violation, errorCode } from './errors.ts';
import { ReceiveWindow } from './flow-control.ts';
import type { Stream } from './stream.ts';

export interface DataReceiverOptions {
  readonly connectionWindow: number;
  readonly unconsumedBytes: number;
}

export interface DataReceiverHooks {
  /** A WINDOW_UPDATE is due; `stream` 0 is the connection. */
  grant(stream: number, increment: number): void;
  deliver(stream: Stream, bytes: Uint8Array): void;
}

export class DataReceiver {
  readonly #hooks: DataReceiverHooks;
  readonly #window: ReceiveWindow;
  /** Whose frame is being received; undefined when its payload goes nowhere. */
  #stream: Stream | undefined;
  /** Bytes of that frame not delivered yet: at its end, what is left was padding. */
  #undelivered = 0;

  constructor(hooks: DataReceiverHooks, options: DataReceiverOptions) {
    this.#hooks = hooks;
    this.#window = new ReceiveWindow({
      initial: initialWindow,
      size: options.connectionWindow,
      budget: Math.max(options.connectionWindow, options.unconsumedBytes),
    });
  }

  get unconsumedBytes(): number {
    return this.#window.unconsumed;
  }

  /** Grants the connection what exceeds RFC 9113's initial window. */
  start(): void {
    this.#grantConnection();
  }

  /**
   * A frame of `length` bytes begins. False: it breaks the stream's window, its payload is thrown away.
   * @throws H2Violation FLOW_CONTROL_ERROR when it breaks the connection's
   */
  begin(stream: Stream | undefined, length: number): boolean {
    if (!this.#window.take(length)) {
      throw new H2Violation(errorCode.flowControlError, 'DATA beyond the connection window');
    }
    const fits = stream?.receiveWindow.take(length) ?? true;
    this.#stream = fits ? stream : undefined;
    this.#undelivered = length;
    this.#release(this.#stream === undefined ? length : 0);
    return fits;
  }

  data(bytes: Uint8Array): void {
    if (this.#stream === undefined) return;
    this.#undelivered -= bytes.length;
    this.#hooks.deliver(this.#stream, bytes);
  }

  /** The frame is complete. Returns its stream, unless the payload went nowhere. */
  end(): Stream | undefined {
    const stream = this.#stream;
    this.#stream = undefined;
    if (stream !== undefined && this.#undelivered > 0) this.consumed(stream, this.#undelivered);
    return stream;
  }

  /** The owner used `bytes` of the stream's. */
  consumed(stream: Stream, bytes: number): void {
    stream.receiveWindow.release(bytes);
    this.#release(bytes);
    const increment = stream.remoteOpen ? stream.receiveWindow.grant() : 0;
    if (increment > 0) this.#hooks.grant(stream.id, increment);
  }

  /** The stream is gone: nobody will consume what it received. */
  drop(stream: Stream): void {
    if (this.#stream === stream) this.#stream = undefined;
    this.#release(stream.receiveWindow.unconsumed);
    stream.receiveWindow.release(stream.receiveWindow.unconsumed);
  }

  /** Also with 0, after bytes came: beyond the window, the budget renews it before anything is consumed. */
  #release(bytes: number): void {
    this.#window.release(bytes);
    this.#grantConnection();
  }

  #grantConnection(): void {
    const increment = this.#window.grant();
    if (increment > 0) this.#hooks.grant(0, increment);
  }
}
