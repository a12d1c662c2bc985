/**
 * A TCP socket as a `ByteEnd`. Writes of one turn of the event loop leave together; a reset from either side stays a
 * reset (RST) and does not become an orderly end.
 */
import type { Socket } from 'node:net';
import { getSystemErrorName } from 'node:util';
import { MeshError } from '../../base/errors.ts';
import type { Fd, NativeBinding } from '../../native/binding.ts';
import type { ByteSink, NearEnd } from './byte-end.ts';
import type { PodMemory } from './pod-memory.ts';
import type { Reader, SharedReads } from './shared-reads.ts';
import type { StallWatch, Stalled } from './stall-watch.ts';
import type { Turn, TurnTask } from './turn.ts';
import { WriteBatch } from './write-batch.ts';
import type { WriteBuffers } from './write-buffers.ts';

/** Written bytes that are not held back until the end of the turn any more: what fills a buffer. */
export const writeBufferSize = 64 << 10;

export interface TcpEndDeps {
  readonly turn: Turn;
  readonly reads: SharedReads;
  readonly writeBuffers: WriteBuffers;
  readonly stalls: StallWatch;
  readonly memory: PodMemory;
  readonly socketError: NativeBinding['socketError'];
}

/** Whose socket it is: decides between APPLICATION_RESET and STREAM_RESET. */
export type TcpRole = 'application' | 'peer';

/** What listeners find their end by: shared by all sockets, as four functions for each would take a quarter of a KB. */
const endOf = Symbol('end');

interface OwnedSocket extends Socket {
  readonly [endOf]: TcpEnd;
}

function onError(this: OwnedSocket, error: Error): void {
  this[endOf].failed(error);
}

function onClose(this: OwnedSocket): void {
  this[endOf].closed();
}

function onEnd(this: OwnedSocket): void {
  this[endOf].ended();
}

function onDrain(this: OwnedSocket): void {
  this[endOf].drained();
}

/**
 * `received`, `endTurn` and `check` are for those who read, gather writes, and look after stalled sockets; `ended`,
 * `drained`, `closed` and `failed` for the listeners.
 */
export class TcpEnd implements NearEnd, Reader, Stalled, TurnTask {
  readonly #socket: Socket;
  readonly #role: TcpRole;
  readonly #deps: TcpEndDeps;
  #sink: ByteSink | undefined;
  #reading = false;
  /** Written in this turn of the event loop; idle connections have none. */
  #batch: WriteBatch | undefined;
  /** Given to the socket and not yet taken by the kernel. */
  #unsent = 0;
  /** Both directions have ended, and everything written is the kernel's. */
  #closing = false;
  /** Nothing is told any more: the end finished, failed or was reset. */
  #silent = false;

  /** @param socket connected, paused, with `allowHalfOpen`. */
  constructor(socket: Socket, role: TcpRole, deps: TcpEndDeps) {
    this.#socket = socket;
    this.#role = role;
    this.#deps = deps;
    Object.assign(socket, { [endOf]: this } satisfies Pick<OwnedSocket, typeof endOf>);
    socket.on('error', onError);
    socket.on('close', onClose);
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength + (this.#batch?.length ?? 0);
  }

  attach(sink: ByteSink): void {
    const first = this.#sink === undefined;
    this.#sink = sink;
    if (!first) return;
    if (this.#socket.destroyed) this.failed(undefined);
  }

  resume(): void {
    if (!this.#reading) this.#startReading();
    this.#deps.stalls.delete(this);
    this.#socket.resume();
  }

  pause(): void {
    this.#socket.pause();
    if (!this.#silent) this.#deps.stalls.add(this);
  }

  check(): void {
    const fd = (this.#socket as unknown as { _handle?: { fd?: Fd } | null })._handle?.fd;
    const error = fd === undefined || fd < 0 ? 0 : this.#deps.socketError(fd);
    if (error === 0) return;
    const code = getSystemErrorName(-error);
    this.failed(Object.assign(new Error(`${code} while nothing was read`), { code }));
  }

  write(bytes: Uint8Array): boolean {
    if (this.#silent) return true;
    for (let at = 0; at < bytes.length && !this.#silent;) {
      this.#batch ??= this.#newBatch();
      at += this.#batch.add(at === 0 ? bytes : bytes.subarray(at));
      if (this.#batch.length === writeBufferSize) this.endTurn();
    }
    return !this.#socket.writableNeedDrain;
  }

  #newBatch(): WriteBatch {
    this.#deps.turn.atEnd(this);
    return new WriteBatch(this.#deps.writeBuffers);
  }

  /** If the other direction has ended too, closing the socket ends this one: nobody has to go round for a half-close. */
  end(): void {
    this.endTurn();
    if (this.#socket.readableEnded && this.#socket.writableLength === 0) this.#close();
    else this.#socket.end();
  }

  #close(): void {
    this.#closing = true;
    this.#socket.destroy();
  }

  accept(): void {
    // TCP has no answer to give: the connection was accepted by the kernel.
  }

  refuse(error: MeshError): void {
    this.reset(error);
  }

  reset(_error: MeshError): void {
    this.#silence();
    this.#socket.pause();
    if (this.#isShuttingDown) this.#socket.once('finish', () => this.#socket.resetAndDestroy());
    else this.#socket.resetAndDestroy();
  }

  /**
   * Until the kernel has our FIN, which takes one turn of the event loop: libuv refuses to reset a socket then (EINVAL),
   * and Node, having marked it as closing, never closes it. The descriptor would leak, the application would wait for
   * ever, and the process could not end. Shown by `socket.end(); process.nextTick(() => socket.resetAndDestroy())`.
   */
  get #isShuttingDown(): boolean {
    const { writableEnded, writableFinished, writableLength } = this.#socket;
    return writableEnded && !writableFinished && writableLength === 0;
  }

  #startReading(): void {
    this.#reading = true;
    this.#deps.reads.attach(this.#socket, this);
    this.#socket.on('end', onEnd);
    this.#socket.on('drain', onDrain);
  }

  received(bytes: Uint8Array): void {
    this.#sink?.data(bytes);
  }

  /** What was written leaves. */
  endTurn(): void {
    if (this.#batch === undefined) return;
    const { bytes, release } = this.#batch.take();
    this.#batch = undefined;
    this.#unsent += bytes.length;
    this.#socket.write(bytes, () => {
      release();
      this.#sent(bytes.length);
    });
    this.#deps.memory.add(bytes.length);
  }

  #sent(bytes: number): void {
    if (this.#silent) return;
    this.#unsent -= bytes;
    this.#deps.memory.remove(bytes);
  }

  ended(): void {
    this.#sink?.ended();
  }

  drained(): void {
    this.#sink?.writable();
  }

  closed(): void {
    if (this.#silent) return;
    if (!this.#closing && !(this.#socket.readableEnded && this.#socket.writableFinished)) {
      this.failed(undefined);
      return;
    }
    this.#silence();
    this.#sink?.finished();
  }

  failed(cause: Error | undefined): void {
    if (this.#silent) return;
    this.#silence();
    this.#socket.destroy();
    this.#sink?.failed(this.#explain(cause));
  }

  #silence(): void {
    if (this.#silent) return;
    this.#silent = true;
    this.#deps.stalls.delete(this);
    this.#deps.memory.remove(this.#unsent);
    this.#unsent = 0;
    this.#batch = undefined;
  }

  #explain(cause: Error | undefined): MeshError {
    const reason = cause === undefined ? 'closed' : ((cause as NodeJS.ErrnoException).code ?? cause.message);
    const code = this.#role === 'application' ? 'APPLICATION_RESET' : 'STREAM_RESET';
    const who = this.#role === 'application' ? 'the application' : 'the peer';
    if (reason === 'ETIMEDOUT' || reason === 'EHOSTUNREACH') {
      return new MeshError('PEER_GONE', `${who} stopped answering (${reason})`, { cause });
    }
    return new MeshError(code, `${who} reset the connection (${reason})`, { cause });
  }
}
