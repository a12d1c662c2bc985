/** A client of the echo server that tells how fast a path is: new connections, round trips, and bytes both ways. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { median } from '../../base/median.ts';

export interface PingResult {
  readonly target: string;
  readonly ok: boolean;
  /** From the call to 64 bytes having come back on a new connection, microseconds: of the first, … */
  readonly firstMicros: number;
  /** … and the median of those after it. */
  readonly connectionMicros: number;
  /** Median of 64 bytes there and back on an open connection. */
  readonly roundTripMicros: number;
  /** Each way, both ways at once. */
  readonly gigabitsPerSecond: number;
  readonly error?: string;
}

export interface PingOptions {
  readonly host: string;
  readonly port: number;
  /** New connections, and ten times as many round trips. */
  readonly count: number;
  readonly megabytes: number;
  readonly timeoutMs: number;
}

const messageBytes = 64;
const message = Buffer.alloc(messageBytes, 0x2e);
const block = Buffer.alloc(256 * 1024, 0x2e);

/** Never rejects: failing is an answer too. */
export async function pingEcho(options: PingOptions): Promise<PingResult> {
  const target = `${options.host}:${options.port}`;
  try {
    return { target, ok: true, ...(await measure(options)) };
  } catch (error) {
    const { code, message: text } = error as NodeJS.ErrnoException;
    const none = { firstMicros: 0, connectionMicros: 0, roundTripMicros: 0, gigabitsPerSecond: 0 };
    return { target, ok: false, ...none, error: code ?? text };
  }
}

async function measure({
  count,
  megabytes,
  ...to
}: PingOptions): Promise<Omit<PingResult, 'target' | 'ok' | 'error'>> {
  const firstMicros = await timed(() => newConnection(to));
  const connections: number[] = [];
  for (let i = 0; i < count; i++) connections.push(await timed(() => newConnection(to)));
  const open = dial(to);
  const trips: number[] = [];
  for (let i = 0; i < count * 10; i++) trips.push(await timed(() => roundTrip(open)));
  const bytes = megabytes * 1024 * 1024;
  const micros = await timed(() => pour(open, bytes));
  open.destroy();
  return {
    firstMicros: Math.round(firstMicros),
    connectionMicros: Math.round(median(connections)),
    roundTripMicros: Math.round(median(trips)),
    gigabitsPerSecond: Math.round((bytes * 8) / micros / 10) / 100,
  };
}

async function timed(action: () => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await action();
  return (performance.now() - startedAt) * 1000;
}

type To = Pick<PingOptions, 'host' | 'port' | 'timeoutMs'>;

const dial = ({ host, port, timeoutMs }: To): Socket =>
  connect({ host, port, noDelay: true, timeout: timeoutMs })
    .on('timeout', function (this: Socket) {
      this.destroy(new Error('timeout'));
    })
    // Whoever waits for something hears of it besides.
    .on('error', () => {});

async function newConnection(to: To): Promise<void> {
  const socket = dial(to);
  await roundTrip(socket);
  socket.destroy();
}

async function roundTrip(socket: Socket): Promise<void> {
  socket.write(message);
  await received(socket, messageBytes);
}

/** Sends so many bytes, as fast as they go, until all have come back. */
async function pour(socket: Socket, bytes: number): Promise<void> {
  const back = received(socket, Math.ceil(bytes / block.length) * block.length);
  const sent = (async () => {
    for (let left = bytes; left > 0; left -= block.length) {
      if (!socket.write(block)) await once(socket, 'drain');
    }
  })();
  await Promise.all([back, sent]);
}

/** @throws Error if the connection ends before */
async function received(socket: Socket, bytes: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let left = bytes;
  const take = (chunk: Buffer): void => {
    left -= chunk.length;
    if (left <= 0) resolve();
  };
  const ended = (): void => reject(new Error('the connection ended too early'));
  socket.on('data', take).once('error', reject).once('close', ended);
  try {
    await promise;
  } finally {
    socket.off('data', take).off('error', reject).off('close', ended);
  }
}
