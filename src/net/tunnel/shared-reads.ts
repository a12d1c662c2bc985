/**
 * Makes sockets read into one buffer that all of them share, instead of a fresh one for each read: those live outside
 * V8's heap, and collecting them costs more CPU than encrypting what was in them.
 *
 * Node has the mechanism as the `onread` option of sockets that it makes itself; for accepted and TLS sockets it is
 * switched on by hand here. A Node whose parts have other names reads as usual, only slower; a test tells.
 */
import { Socket } from 'node:net';

/** One DATA frame with its header fills four TLS records of 16 KiB to the last byte (see `data-sender.ts`). */
const readSize = (64 << 10) - 9;

/** Whom the bytes are for; an object rather than a function, because thousands of sockets have one each. */
export interface Reader {
  received(bytes: Uint8Array): void;
}

/** What Node's `onread` sets on a socket. */
interface ReadSlots {
  readonly buffer: symbol;
  readonly callback: symbol;
  readonly generator: symbol;
}

interface Handle {
  useUserBuffer?(buffer: Uint8Array): void;
}

/** Whom a socket's bytes are for. */
const readerOf = Symbol('reader');

interface Internals {
  readonly _handle?: Handle | null;
  [readerOf]?: Reader;
  [slot: symbol]: unknown;
}

/** What Node calls after a read, as a method of the socket: one function for all of them. */
function pass(this: Internals, length: number, buffer: Uint8Array): true {
  this[readerOf]?.received(buffer.subarray(0, length));
  return true;
}

export class SharedReads {
  readonly #buffer = Buffer.allocUnsafeSlow(readSize);
  readonly #slots = findSlots();

  /**
   * Passes on what the socket reads once it is resumed; the bytes are good for the duration of the call. What it read
   * before comes at once.
   */
  attach(socket: Socket, reader: Reader): void {
    if (!this.#useBuffer(socket, reader)) {
      socket.on('data', (bytes) => reader.received(bytes));
      return;
    }
    if (socket.readableLength === 0) return;
    for (let early = readBytes(socket); early !== null; early = readBytes(socket)) reader.received(early);
  }

  #useBuffer(socket: Socket, reader: Reader): boolean {
    const slots = this.#slots;
    const internals = socket as unknown as Internals;
    const handle = internals._handle;
    if (slots === undefined || typeof handle?.useUserBuffer !== 'function') return false;
    internals[slots.buffer] = this.#buffer;
    internals[slots.generator] = null;
    internals[slots.callback] = pass;
    internals[readerOf] = reader;
    handle.useUserBuffer(this.#buffer);
    return true;
  }
}

const readBytes = (socket: Socket): Uint8Array | null => socket.read() as Uint8Array | null;

function findSlots(): ReadSlots | undefined {
  const socket = new Socket({ onread: { buffer: Buffer.alloc(1), callback: () => true } });
  const symbols = Object.getOwnPropertySymbols(socket);
  const named = (name: string): symbol | undefined => symbols.find(({ description }) => description === name);
  const [buffer, callback, generator] = [named('kBuffer'), named('kBufferCb'), named('kBufferGen')];
  socket.destroy();
  if (buffer === undefined || callback === undefined || generator === undefined) return undefined;
  return { buffer, callback, generator };
}
