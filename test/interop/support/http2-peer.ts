/**
 * A small HBONE proxy on `node:http2` (nghttp2), a program of its own: independent of our HTTP/2 and TLS code, with a
 * certificate from our authority. It accepts tunnels on 15008 for the application beside it, and forwards what is
 * dialled at its local ports into tunnels. Prints what it sees as lines of JSON.
 *
 *   http2-peer.ts JSON        a `PeerRequest`
 */
import { once } from 'node:events';
import * as http2 from 'node:http2';
import { connect as dialTcp, createServer, type Socket } from 'node:net';
import { connect as dialTls, type TLSSocket } from 'node:tls';
import { createCsr } from '../../../src/identity/csr.ts';
import { GrpcCaClient } from '../../../src/identity/grpc-ca-client.ts';
import { generateKeyPair, privateKeyPem } from '../../../src/identity/key-pair.ts';
import { parseSpiffeId } from '../../../src/model/identity.ts';

export interface Forward {
  /** On 127.0.0.1. */
  readonly port: number;
  /** `IP:PORT` that serves HBONE. */
  readonly via: { readonly host: string; readonly port: number };
  readonly authority: string;
}

export interface PeerRequest {
  readonly identity: string;
  readonly authorityAddress: string;
  readonly authorityRoot: string;
  readonly tokenFile: string;
  readonly ip: string;
  readonly forwards: readonly Forward[];
}

interface Keys {
  readonly key: string;
  readonly cert: string;
  readonly ca: string;
}

/** As large as ztunnel's: with the library's own 64 KiB, two-way transfers crawl. */
const streamWindow = 4 * 1024 * 1024;
const sessionWindow = 16 * 1024 * 1024;
const settings = { initialWindowSize: streamWindow, enablePush: false };

const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

async function obtainKeys(request: PeerRequest): Promise<Keys> {
  const identity = parseSpiffeId(request.identity);
  const authority = new GrpcCaClient({
    address: request.authorityAddress,
    rootsFile: request.authorityRoot,
    tokenFile: request.tokenFile,
  });
  const pair = await generateKeyPair();
  const wish = { identity, csr: await createCsr(identity, pair), validitySeconds: 3600 };
  const chain = await authority.sign(wish, { signal: AbortSignal.timeout(30_000) });
  authority.close();
  return {
    key: privateKeyPem(pair),
    cert: chain.slice(0, -1).join('\n'),
    ca: chain.at(-1) ?? '',
  };
}

const identityOf = (socket: TLSSocket): string =>
  socket.getPeerCertificate().subjectaltname?.replace(/^URI:/, '') ?? '';

async function accept(keys: Keys, ip: string): Promise<void> {
  const server = http2.createSecureServer({
    ...keys,
    minVersion: 'TLSv1.3',
    requestCert: true,
    rejectUnauthorized: true,
    settings,
  });
  server.on('session', (session) => session.setLocalWindowSize(sessionWindow));
  server.on('sessionError', (error: Error) => say({ event: 'session-error', message: error.message }));
  server.on('tlsClientError', (error: Error) => say({ event: 'refused', message: error.message }));
  server.on('stream', (stream, headers) => serve(stream, headers));
  await once(server.listen(15_008, ip), 'listening');
}

function serve(stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders): void {
  const authority = headers[':authority'] ?? '';
  say({
    event: 'request',
    method: headers[':method'],
    authority,
    identity: identityOf(stream.session?.socket as TLSSocket),
    headers,
  });
  const [host = '', port = ''] = authority.split(':');
  const socket = dialTcp({ host, port: Number(port), allowHalfOpen: true });
  socket.once('connect', () => stream.respond({ ':status': 200 }));
  join(socket, stream);
}

/** One session for each destination, opened when it is first needed. */
async function forward(keys: Keys, { port, via, authority }: Forward): Promise<void> {
  let session: http2.ClientHttp2Session | undefined;
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    if (session === undefined || session.closed || session.destroyed) {
      session = openSession(keys, via);
    }
    const stream = session.request({ ':method': 'CONNECT', ':authority': authority }, { endStream: false });
    stream.once('response', ({ ':status': status }) => {
      say({ event: 'response', status });
      if (status !== 200) socket.resetAndDestroy();
    });
    join(socket, stream);
  });
  await once(server.listen(port, '127.0.0.1', 1024), 'listening');
}

function openSession(keys: Keys, via: Forward['via']): http2.ClientHttp2Session {
  const session = http2.connect(`https://${via.host}:${via.port}`, {
    settings,
    createConnection: () =>
      dialTls({
        ...via,
        ...keys,
        ALPNProtocols: ['h2'],
        minVersion: 'TLSv1.3',
        checkServerIdentity: () => undefined,
      }),
  });
  session.on('connect', (_, socket) => {
    session.setLocalWindowSize(sessionWindow);
    say({ event: 'session', identity: identityOf(socket as TLSSocket) });
  });
  session.on('goaway', (code) => say({ event: 'goaway', code }));
  session.on('close', () => say({ event: 'session-closed' }));
  session.on('error', (error) => say({ event: 'session-error', message: error.message }));
  return session;
}

/** Bytes, ends and resets, each way. */
function join(socket: Socket, stream: http2.Http2Stream): void {
  // `close(CANCEL)` would end the stream in order first.
  socket.on('error', (error) => stream.destroy(error));
  stream.on('error', () => socket.resetAndDestroy());
  stream.on('close', () => {
    if (stream.rstCode !== http2.constants.NGHTTP2_NO_ERROR) socket.resetAndDestroy();
  });
  socket.pipe(stream);
  stream.pipe(socket);
}

async function main(request: PeerRequest): Promise<void> {
  const keys = await obtainKeys(request);
  await accept(keys, request.ip);
  for (const each of request.forwards) await forward(keys, each);
  say({ event: 'ready' });
}

await main(JSON.parse(process.argv[2] ?? '') as PeerRequest);
