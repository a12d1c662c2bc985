/**
 * The application at both ends of the interop tests, a program of its own because applications live in their pod's
 * namespace and cgroup. Server and client hash what they send and receive; each prints what it saw as lines of JSON.
 *
 *   app.ts serve PORT…        one line a connection when it is over
 *   app.ts exchange JSON      an `ExchangeRequest`; one line a connection
 *   app.ts get URL            prints the body of the answer
 */
import { createCipheriv, createHash, type Hash } from 'node:crypto';
import { connect, createServer, type Socket } from 'node:net';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** Who stops sending first: both as they are done, or one only after it saw the other's end. */
export type Order = 'together' | 'client-first' | 'server-first';

export interface ExchangeRequest {
  readonly host: string;
  readonly port: number;
  /** Prefix of the connections' ids. */
  readonly id: string;
  readonly connections: number;
  readonly concurrency: number;
  /** Bytes from client to server, and back, for each connection. */
  readonly up: number;
  readonly down: number;
  readonly order: Order;
  /** Milliseconds the client waits between its request and its first byte. */
  readonly pauseMs: number;
  /** The client resets the connection once it has sent everything, instead of ending it. */
  readonly abort: boolean;
}

/** One end's account of one connection. */
export interface EndReport {
  readonly id: string;
  readonly side: 'client' | 'server';
  /** The other end's address as this end's kernel has it. */
  readonly peer: string;
  readonly sent: number;
  readonly sentSha256: string;
  readonly received: number;
  readonly receivedSha256: string;
  /** `ended` when both directions ended in order, else the error's code. */
  readonly outcome: string;
  readonly ms: number;
}

interface Ask {
  readonly id: string;
  readonly down: number;
  readonly order: Order;
}

/** What a client asks of the server, as JSON padded with spaces: the first bytes of every connection. */
const askBytes = 128;
const chunkBytes = 64 * 1024;
const zeros = Buffer.alloc(chunkBytes);

class Account {
  bytes = 0;
  readonly #hash: Hash = createHash('sha256');

  add(chunk: Buffer): Buffer {
    this.bytes += chunk.length;
    this.#hash.update(chunk);
    return chunk;
  }

  digest(): string {
    return this.#hash.digest('hex');
  }
}

/** Bytes that look random, and differ from id to id. */
function* pattern(seed: string, bytes: number, account: Account): Generator<Buffer> {
  const key = createHash('md5').update(seed).digest();
  const cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
  for (let left = bytes; left > 0; left -= chunkBytes) {
    yield account.add(cipher.update(left < chunkBytes ? zeros.subarray(0, left) : zeros));
  }
}

const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

async function serveOne(socket: Socket): Promise<void> {
  const started = performance.now();
  const peer = `${socket.remoteAddress ?? ''}:${socket.remotePort ?? 0}`;
  const [sent, received] = [new Account(), new Account()];
  let ask: Ask | undefined;
  const outcome = await outcomeOf(socket, async () => {
    const first = await readExactly(socket, askBytes);
    const wanted = (ask = JSON.parse(first.toString()) as Ask);
    const sending = (): Promise<void> => sendAll(socket, `${wanted.id}/down`, wanted.down, sent);
    if (wanted.order === 'client-first') {
      await receiveAll(socket, received);
      await sending();
    } else {
      await Promise.all([receiveAll(socket, received), sending()]);
    }
  });
  say(report({ id: ask?.id ?? '', side: 'server', peer }, { sent, received, outcome, started }));
}

async function dialOne(request: ExchangeRequest, id: string): Promise<void> {
  const started = performance.now();
  const [sent, received] = [new Account(), new Account()];
  const socket = connect({ host: request.host, port: request.port, allowHalfOpen: true });
  let peer = '';
  const outcome = await outcomeOf(socket, async () => {
    await once(socket, 'connect');
    peer = `${socket.remoteAddress ?? ''}:${socket.remotePort ?? 0}`;
    const ask: Ask = { id, down: request.down, order: request.order };
    socket.write(JSON.stringify(ask).padEnd(askBytes));
    if (request.pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, request.pauseMs));
    const sending = (): Promise<void> => sendAll(socket, `${id}/up`, request.up, sent);
    if (request.abort) {
      for (const chunk of pattern(`${id}/up`, request.up, sent)) socket.write(chunk);
      await new Promise((resolve) => setTimeout(resolve, 500));
      socket.resetAndDestroy();
    } else if (request.order === 'server-first') {
      await receiveAll(socket, received);
      await sending();
    } else {
      await Promise.all([receiveAll(socket, received), sending()]);
    }
  });
  say(report({ id, side: 'client', peer }, { sent, received, outcome, started }));
}

/** What became of the connection while `work` was done; it is closed afterwards either way. */
async function outcomeOf(socket: Socket, work: () => Promise<void>): Promise<string> {
  let broken: string | undefined;
  socket.on('error', (error: NodeJS.ErrnoException) => (broken ??= error.code ?? error.message));
  try {
    await work();
    return broken ?? 'ended';
  } catch (thrown) {
    return broken ?? (thrown as NodeJS.ErrnoException).code ?? String(thrown);
  } finally {
    socket.destroy();
  }
}

const sendAll = (socket: Socket, seed: string, bytes: number, account: Account): Promise<void> =>
  pipeline(Readable.from(pattern(seed, bytes, account)), socket, { end: true });

async function receiveAll(socket: Socket, account: Account): Promise<void> {
  socket.on('data', (chunk: Buffer) => account.add(chunk));
  await once(socket, 'end');
}

async function readExactly(socket: Socket, bytes: number): Promise<Buffer> {
  for (;;) {
    const chunk = socket.read(bytes) as Buffer | null;
    if (chunk?.length === bytes) return chunk;
    if (socket.readableEnded) throw new Error('ended before it asked for anything');
    await Promise.race([once(socket, 'readable'), once(socket, 'end')]);
  }
}

interface Outcome {
  readonly sent: Account;
  readonly received: Account;
  readonly outcome: string;
  readonly started: number;
}

const report = (
  who: Pick<EndReport, 'id' | 'side' | 'peer'>,
  { sent, received, outcome, started }: Outcome,
): EndReport => ({
  ...who,
  sent: sent.bytes,
  sentSha256: sent.digest(),
  received: received.bytes,
  receivedSha256: received.digest(),
  outcome,
  ms: Math.round(performance.now() - started),
});

async function serve(ports: readonly string[]): Promise<void> {
  for (const port of ports) {
    const server = createServer({ allowHalfOpen: true }, (socket) => void serveOne(socket));
    await once(server.listen(Number(port), '0.0.0.0', 1024), 'listening');
  }
  say({ listening: ports });
}

async function exchange(request: ExchangeRequest): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < request.connections) await dialOne(request, `${request.id}-${next++}`);
  };
  await Promise.all(Array.from({ length: request.concurrency }, worker));
}

async function main([mode, ...args]: readonly string[]): Promise<void> {
  switch (mode) {
    case 'serve':
      return serve(args);
    case 'exchange':
      return exchange(JSON.parse(args[0] ?? '') as ExchangeRequest);
    case 'get':
      process.stdout.write(await (await fetch(args[0] ?? '')).text());
      return;
    default:
      throw new Error(`unknown mode ${mode ?? ''}`);
  }
}

await main(process.argv.slice(2));
