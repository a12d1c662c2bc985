/**
 * One end of a connection that is being carried: a TCP socket or an HTTP/2 stream, made to look alike. This is the
 * byte side of the data path and only that; who may connect to whom was decided before an end is resumed.
 */
import type { MeshError } from '../../base/errors.ts';

/** Whom an end tells what happens to it. */
export interface ByteSink {
  /** Bytes arrived, and are good until this returns: another read may overwrite them. */
  data(bytes: Uint8Array): void;
  /** The remote half-closed: no more `data`. */
  ended(): void;
  /** Room again after `write` returned false. */
  writable(): void;
  /** Both directions ended in order and everything written has left. Nothing is told after it. */
  finished(): void;
  /** The end is dead: reset by the remote, or lost. Nothing is told after it. */
  failed(error: MeshError): void;
}

/** Ends are born paused: nothing is read until `resume`. */
export interface ByteEnd {
  /** Replaces the sink. Failures are told from the first one on, data after `resume`. */
  attach(sink: ByteSink): void;
  resume(): void;
  /** Stops the flow of data as far as the remote honours back-pressure; a stream may deliver one window more. */
  pause(): void;
  /** Queues bytes, copying what cannot leave at once. False: wait for `writable` before more. */
  write(bytes: Uint8Array): boolean;
  /** Half-closes after everything written. */
  end(): void;
  /** Aborts both directions, so that the remote sees a reset. Nothing is told after it. */
  reset(error: MeshError): void;
  /** Bytes held in user space by this end. */
  readonly bufferedBytes: number;
}

/** The end a connection came in on, which still has to be answered. */
export interface NearEnd extends ByteEnd {
  accept(headers: readonly (readonly [name: string, value: string])[]): void;
  /** Ends it before a byte has moved, telling the remote as well as its protocol can. */
  refuse(error: MeshError): void;
}
