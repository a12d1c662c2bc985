/** The session against Node's own HTTP/2 (nghttp2), in memory: an independent implementation must agree with it. */
import { afterEach, describe, expect, it } from '@jest/globals';
import { createHash, randomBytes } from 'node:crypto';
import http2 from 'node:http2';
import { type Duplex, duplexPair } from 'node:stream';
import type { H2Handler, HeaderList, StreamId } from '../../../../src/net/h2/contract.ts';
import type { H2Session } from '../../../../src/net/h2/session.ts';
import { overDuplex } from './support/over-duplex.ts';

const sha = (chunks: readonly Uint8Array[]): string =>
  chunks.reduce((hash, chunk) => hash.update(chunk), createHash('sha256')).digest('hex');

const payload = randomBytes(3_000_000);
/** node:http2 resets streams when its own buffers exceed 10 MB. */
const oneMegabyte = payload.subarray(0, 1_000_000);
const connectHeaders: HeaderList = [
  [':method', 'CONNECT'],
  [':authority', '10.1.2.3:8080'],
  ['baggage', 'k8s.namespace.name=shop,service.name=web'],
];

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** A node:http2 server whose every CONNECT stream goes to `serve`; returns the other end of its connection. */
function nodeServer(
  serve: (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void,
  settings: http2.Settings = {},
): Duplex {
  const [near, far] = duplexPair();
  const server = http2.createServer({ settings });
  server.on('stream', serve);
  server.emit('connection', far);
  cleanups.push(
    () => near.destroy(),
    () => far.destroy(),
  );
  return near;
}

function nodeClient(settings: http2.Settings = {}): { client: http2.ClientHttp2Session; far: Duplex } {
  const [near, far] = duplexPair();
  const client = http2.connect('http://pod', { createConnection: () => near, settings });
  client.on('error', () => {});
  cleanups.push(
    () => client.destroy(),
    () => far.destroy(),
  );
  return { client, far };
}

/** Sends all of `bytes` as the queue allows, then half-closes. */
function sender(
  session: () => H2Session,
  bytes: Buffer,
): Pick<H2Handler, 'onWritable'> & { begin(id: StreamId): void } {
  let at = 0;
  const more = (id: StreamId): void => {
    while (at < bytes.length) {
      const chunk = bytes.subarray(at, at + 50_000);
      at += chunk.length;
      if (!session().send(id, chunk)) return;
    }
    session().end(id);
  };
  return { begin: more, onWritable: more };
}

const echo = (self: () => H2Session): Partial<H2Handler> => ({
  onHeaders: (id) => self().respond(id, [[':status', '200']], false),
  onData(id, bytes) {
    self().send(id, Buffer.from(bytes));
    self().consumed(id, bytes.length);
  },
  onEnd: (id) => self().end(id),
});

describe('our client and a node:http2 server', () => {
  it.each<readonly [string, http2.Settings]>([
    ['its default settings', {}],
    ['windows of 1 KiB', { initialWindowSize: 1024 }],
    ['large windows and frames', { initialWindowSize: 1 << 22, maxFrameSize: 1 << 20 }],
    ['no dynamic header table', { headerTableSize: 0 }],
  ])('carry 3 MB each way at once and half-close, with %s', async (_what, settings) => {
    const seen: string[] = [];
    const duplex = nodeServer((stream, headers) => {
      seen.push(`${headers[':method']} ${headers[':authority']} ${headers['baggage'] as string}`);
      stream.respond({ ':status': 200, baggage: 'b' });
      stream.pipe(stream);
    }, settings);
    const received: Buffer[] = [];
    let responded: HeaderList = [];
    await new Promise<void>((resolve, reject) => {
      const session = overDuplex(duplex, { role: 'client' }, (self) => {
        const up = sender(self, payload);
        return {
          ...up,
          onHeaders(id, headers) {
            responded = headers;
            up.begin(id);
          },
          onData(id, bytes) {
            received.push(Buffer.from(bytes));
            self().consumed(id, bytes.length);
          },
          onEnd: () => resolve(),
          onReset: (_id, _code, error) => reject(error),
          onClosed: (error) => reject(error ?? new Error('closed early')),
        };
      });
      session.openStream(connectHeaders);
    });
    expect(seen).toEqual(['CONNECT 10.1.2.3:8080 k8s.namespace.name=shop,service.name=web']);
    expect(responded.filter(([name]) => name !== 'date')).toEqual([
      [':status', '200'],
      ['baggage', 'b'],
    ]);
    expect(sha(received)).toBe(sha([payload]));
  });

  it('open no more streams than the server allows, and the next when one ends', async () => {
    const duplex = nodeServer((stream) => stream.respond({ ':status': 503 }, { endStream: true }), {
      maxConcurrentStreams: 2,
    });
    const events = await new Promise<string[]>((resolve) => {
      const log: string[] = [];
      const session = overDuplex(duplex, { role: 'client' }, (self) => ({
        onReady() {
          for (let i = 0; i < 2; i++) self().openStream(connectHeaders);
          log.push(`available ${self().availableStreams}`);
        },
        onHeaders(id, headers, end) {
          log.push(`${headers[0]?.[1]} ${end}`);
          self().reset(id, 8);
        },
        onCapacity: () => log.push(`capacity ${session.availableStreams}`),
        onGoaway: () => resolve(log),
        onClosed: () => resolve(log),
      }));
      const timer = setInterval(() => {
        if (log.length < 4) return;
        clearInterval(timer);
        resolve(log);
      }, 1);
    });
    expect(events.slice(0, 2)).toEqual(['available 0', '503 true']);
    expect(events).toContain('capacity 1');
  });

  it('tell a reset by its code, in both directions', async () => {
    const serverSaw = new Promise<number | undefined>((resolve) => {
      const duplex = nodeServer((stream) => {
        stream.on('error', () => {});
        stream.on('close', () => resolve(stream.rstCode));
        stream.respond({ ':status': 200 });
      });
      overDuplex(duplex, { role: 'client' }, (self) => ({
        onHeaders: (id) => self().reset(id, http2.constants.NGHTTP2_CONNECT_ERROR),
      })).openStream(connectHeaders);
    });
    expect(await serverSaw).toBe(http2.constants.NGHTTP2_CONNECT_ERROR);

    const clientSaw = new Promise<number>((resolve) => {
      const duplex = nodeServer((stream) => {
        stream.on('error', () => {});
        stream.respond({ ':status': 200 });
        stream.close(http2.constants.NGHTTP2_CANCEL);
      });
      overDuplex(duplex, { role: 'client' }, () => ({ onReset: (_id, code) => resolve(code) })).openStream(
        connectHeaders,
      );
    });
    expect(await clientSaw).toBe(http2.constants.NGHTTP2_CANCEL);
  });

  it('answer each other’s PING, and part in order after GOAWAY', async () => {
    const log = await new Promise<string[]>((resolve) => {
      const seen: string[] = [];
      const [near, far] = duplexPair();
      const server = http2.createServer();
      server.on('session', (peer) => {
        peer.ping((error: Error | null) => {
          seen.push(error === null ? 'server pong' : 'server ping failed');
          peer.close();
        });
      });
      server.emit('connection', far);
      overDuplex(near, { role: 'client' }, (self) => ({
        onReady: () => self().ping(),
        onPong: () => seen.push('client pong'),
        onGoaway: (code) => seen.push(`goaway ${code}`),
        onClosed: (error) => resolve([...seen, `closed ${error?.code ?? 'in order'}`]),
      }));
    });
    expect(log.toSorted()).toEqual(['client pong', 'closed in order', 'goaway 0', 'server pong']);
  });
});

describe('a node:http2 client and our server', () => {
  it.each<readonly [string, http2.Settings]>([
    ['its default settings', {}],
    ['windows of 1 KiB', { initialWindowSize: 1024 }],
    ['no dynamic header table', { headerTableSize: 0 }],
  ])('carry 1 MB each way on each of 5 streams, with %s', async (_what, settings) => {
    const { client, far } = nodeClient(settings);
    overDuplex(far, { role: 'server' }, echo);
    const hashes = await Promise.all(
      [0, 1, 2, 3, 4].map(async (i) => {
        const stream = client.request({
          ':method': 'CONNECT',
          ':authority': `10.0.0.${i}:80`,
          baggage: 'x'.repeat(900),
        });
        stream.end(oneMegabyte);
        return sha((await stream.toArray()) as Buffer[]);
      }),
    );
    expect(hashes).toEqual(Array.from({ length: 5 }, () => sha([oneMegabyte])));
  });

  it('refuse a request with a status and no body', async () => {
    const { client, far } = nodeClient();
    overDuplex(far, { role: 'server' }, (self) => ({
      onHeaders: (id) => self().respond(id, [[':status', '401']], true),
    }));
    const stream = client.request({ ':method': 'CONNECT', ':authority': '10.0.0.1:80' });
    const status = new Promise<number | undefined>((resolve) => {
      stream.on('response', (headers) => resolve(headers[':status']));
    });
    await new Promise<void>((resolve) => stream.on('close', () => resolve()));
    expect(await status).toBe(401);
    expect(stream.rstCode).toBe(http2.constants.NGHTTP2_NO_ERROR);
  });

  it('drain: the stream that is open finishes, a new one is not taken', async () => {
    const { client, far } = nodeClient();
    let closed: string | undefined;
    const server = overDuplex(far, { role: 'server' }, (self) => ({
      ...echo(self),
      onClosed: (error) => (closed = error?.code ?? 'in order'),
    }));
    const stream = client.request({ ':method': 'CONNECT', ':authority': '10.0.0.1:80' });
    const clientClosed = new Promise<void>((resolve) => client.on('close', () => resolve()));
    stream.on('response', () => server.drain());
    client.once('goaway', () => stream.end('last words'));
    const chunks = (await stream.toArray()) as Buffer[];
    expect(Buffer.concat(chunks).toString()).toBe('last words');
    await clientClosed;
    expect(closed).toBe('in order');
    expect(client.destroyed).toBe(true);
  });
});
