/**
 * A transfer in both directions at once that proves itself: each side sends the same number of bytes, then their
 * SHA-256, and compares what it got. The client begins with that number (8 bytes, big-endian); the server ends with
 * one byte, 1 if what it got was whole. Finds deadlocks, losses and reordering that one direction does not.
 */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { Socket } from 'node:net';

const headerBytes = 8;
const hashBytes = 32;
const blockBytes = 256 * 1024;
const maxBytes = 64 * 1024 ** 3;

export interface BulkResult {
  readonly target: string;
  readonly ok: boolean;
  readonly megabytes: number;
  /** Whether what the server got, and what came back, was exactly what was sent. */
  readonly sentWhole: boolean;
  readonly receivedWhole: boolean;
  readonly seconds: number;
  /** Both directions together. */
  readonly megabitsPerSecond: number;
  readonly error?: string;
}

/** Serves until the process ends; listens on all addresses. */
export function serveBulk(port: number, log: (line: string) => void): void {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    answer(socket).catch((error: unknown) => {
      log(`transfer failed: ${error instanceof Error ? error.message : String(error)}`);
      socket.destroy();
    });
  });
  server.listen({ port, host: '::', ipv6Only: false }, () => log(`bulk on port ${port}`));
}

async function answer(socket: Socket): Promise<void> {
  const reader = new SocketReader(socket);
  const count = Number((await reader.take(headerBytes)).readBigUInt64BE());
  if (count > maxBytes) throw new Error(`${count} bytes are too many`);
  const [whole] = await Promise.all([receive(reader, count), send(socket, count)]);
  socket.end(Buffer.of(whole ? 1 : 0));
}

/** Never rejects: failing is an answer too. `timeoutMs` is for the whole transfer. */
export async function transferBulk(
  host: string,
  port: number,
  megabytes: number,
  timeoutMs: number,
): Promise<BulkResult> {
  const startedAt = performance.now();
  const count = megabytes * 1024 * 1024;
  const socket = connect({ host, port, allowHalfOpen: true });
  const timer = setTimeout(() => socket.destroy(new Error('timeout')), timeoutMs);
  const done = (outcome: { sentWhole: boolean; receivedWhole: boolean; error?: string }): BulkResult => {
    const seconds = (performance.now() - startedAt) / 1000;
    const megabitsPerSecond = Math.round((2 * count * 8) / 1e6 / seconds);
    const ok = outcome.sentWhole && outcome.receivedWhole;
    return {
      target: `${host}:${port}`,
      ok,
      megabytes,
      ...outcome,
      seconds: Math.round(seconds * 1000) / 1000,
      megabitsPerSecond,
    };
  };
  try {
    return done(await exchange(socket, count));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return done({ sentWhole: false, receivedWhole: false, error: code ?? message });
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

async function exchange(
  socket: Socket,
  count: number,
): Promise<{ sentWhole: boolean; receivedWhole: boolean }> {
  const reader = new SocketReader(socket);
  await once(socket, 'connect');
  const header = Buffer.alloc(headerBytes);
  header.writeBigUInt64BE(BigInt(count));
  socket.write(header);
  const [receivedWhole] = await Promise.all([receive(reader, count), send(socket, count)]);
  socket.end();
  const verdict = await reader.take(1);
  return { receivedWhole, sentWhole: verdict[0] === 1 };
}

/** Random blocks, each with its number in front, so that no two places of the stream are alike. */
async function send(socket: Socket, count: number): Promise<void> {
  const hash = createHash('sha256');
  const random = randomBytes(blockBytes);
  for (let sent = 0; sent < count; sent += blockBytes) {
    const block = Buffer.from(random.subarray(0, Math.min(blockBytes, count - sent)));
    block.writeUIntBE(Math.floor(sent / blockBytes), 0, Math.min(6, block.length));
    hash.update(block);
    if (!socket.write(block)) await once(socket, 'drain');
  }
  socket.write(hash.digest());
}

/** Whether `count` bytes came that have the hash which follows them. */
async function receive(reader: SocketReader, count: number): Promise<boolean> {
  const hash = createHash('sha256');
  for (let left = count; left > 0;) {
    const part = await reader.some(left);
    hash.update(part);
    left -= part.length;
  }
  return hash.digest().equals(await reader.take(hashBytes));
}

/** Reads a socket in pieces of a wanted size; it is not read faster than pieces are taken. */
class SocketReader {
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(socket: Socket) {
    // The writing side goes on after the reading side has ended.
    this.#chunks = socket.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
  }

  /** Exactly `count` bytes; few. */
  async take(count: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (let left = count; left > 0;) {
      const part = await this.some(left);
      parts.push(part);
      left -= part.length;
    }
    return Buffer.concat(parts);
  }

  /** At least one byte and at most `limit`. */
  async some(limit: number): Promise<Buffer> {
    if (this.#rest.length === 0) {
      const next = await this.#chunks.next();
      if (next.done === true) throw new Error('the connection ended too early');
      this.#rest = next.value;
    }
    const part = this.#rest.subarray(0, limit);
    this.#rest = this.#rest.subarray(limit);
    return part;
  }
}
