/**
 * A small read-mostly HTTP server for machines: exact paths, short answers, strict limits, since its port may be open
 * to pods. Metrics, readiness and the admin socket are made of it; nothing of the data path is.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, type ListenOptions, type Socket } from 'node:net';
import { asMeshError, MeshError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';

export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

export interface HttpServerOptions {
  readonly listen: ListenOptions;
  readonly answer: (request: IncomingMessage) => Promise<Answer>;
  readonly log: Logger;
  /** Called before anything is read from a new connection. */
  readonly onConnection?: (socket: Socket) => void;
}

export interface RunningServer {
  /** The TCP port it listens on; 0 for a unix socket. */
  readonly port: number;
  close(): Promise<void>;
}

/** One peer may neither keep others out nor hold a connection without asking. */
const limits = {
  maxConnections: 256,
  maxConnectionsPerAddress: 16,
  requestTimeoutMs: 10_000,
  headersTimeoutMs: 5_000,
  checkEveryMs: 1_000,
  maxHeaderBytes: 8192,
};

/** @throws MeshError UNAVAILABLE when the address cannot be bound. */
export async function startHttpServer(options: HttpServerOptions): Promise<RunningServer> {
  const server = createServer(
    {
      requestTimeout: limits.requestTimeoutMs,
      headersTimeout: limits.headersTimeoutMs,
      connectionsCheckingInterval: limits.checkEveryMs,
      maxHeaderSize: limits.maxHeaderBytes,
    },
    (request, response) => void serve(options, request, response),
  );
  server.maxConnections = limits.maxConnections;
  limitPerAddress(server);
  if (options.onConnection !== undefined) server.on('connection', options.onConnection);
  await listen(server, options.listen);
  const address = server.address();
  return { port: isTcp(address) ? address.port : 0, close: () => close(server) };
}

/** Unix sockets have no address, and are root's alone. */
function limitPerAddress(server: Server): void {
  const open = new Map<string, number>();
  server.on('connection', (socket) => {
    const address = socket.remoteAddress;
    if (address === undefined) return;
    const count = (open.get(address) ?? 0) + 1;
    open.set(address, count);
    socket.once('close', () => {
      const left = (open.get(address) ?? 1) - 1;
      if (left === 0) open.delete(address);
      else open.set(address, left);
    });
    if (count > limits.maxConnectionsPerAddress) socket.destroy();
  });
}

async function serve(
  { answer, log }: HttpServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    const { status, contentType, body } = await answer(request);
    response.writeHead(status, { 'content-type': contentType, 'cache-control': 'no-store' });
    response.end(request.method === 'HEAD' ? '' : body);
  } catch (thrown) {
    log.error({ error: asMeshError(thrown) }, 'an HTTP request could not be answered');
    response.writeHead(500).end();
  }
}

async function listen(server: Server, options: ListenOptions): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(options, resolve);
  try {
    await promise;
  } catch (cause) {
    const where = options.path ?? `${options.host ?? '*'}:${options.port ?? 0}`;
    throw new MeshError('UNAVAILABLE', `cannot listen on ${where}: ${asMeshError(cause).message}`, { cause });
  }
  server.off('error', reject);
}

async function close(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  server.closeAllConnections();
  await promise;
}

const isTcp = (address: AddressInfo | string | null): address is AddressInfo =>
  typeof address === 'object' && address !== null;
