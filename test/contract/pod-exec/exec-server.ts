/** An API server as far as running programs in pods goes: TLS, a token, and the channel protocol over WebSockets. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { createTestCa } from '../../support/test-ca.ts';

export const token = 'a-token';

/** The program's end of a connection. */
export interface ServedProgram {
  /** Path and query as they were asked for. */
  readonly url: URL;
  readonly socket: WebSocket;
  readonly stdout: (data: string | Buffer) => void;
  readonly stderr: (text: string) => void;
  /** `metav1.Status`, with which every program ends. */
  readonly end: (status: object) => void;
  readonly onStdin: (hear: (data: Buffer) => void) => void;
}

export interface ExecServerOptions {
  /** Of the channel protocol, the only one it speaks. */
  readonly protocol?: 'v5.channel.k8s.io' | 'v4.channel.k8s.io';
  readonly run?: (program: ServedProgram) => void;
  /** In place of an agreement; null: no answer at all. */
  readonly refuse?: { readonly status: number; readonly body: object } | null;
  /** Answers to GET, by path. */
  readonly objects?: Readonly<Record<string, object>>;
}

export interface ExecServer {
  /** A kubeconfig that leads here. */
  readonly kubeconfig: string;
  readonly connections: () => number;
  close(): Promise<void>;
}

export async function execServer(options: ExecServerOptions): Promise<ExecServer> {
  const ca = await createTestCa();
  const leaf = await ca.issue({ uris: [], dns: ['localhost'] });
  const server = createServer({ cert: leaf.certificateChain, key: leaf.privateKey }, (request, response) => {
    const found = options.objects?.[(request.url ?? '').split('?', 1)[0] ?? ''];
    const known = request.headers.authorization === `Bearer ${token}`;
    response.statusCode = known ? (found === undefined ? 404 : 200) : 401;
    response.end(JSON.stringify(found ?? {}));
  });
  const { protocol = 'v5.channel.k8s.io' } = options;
  const sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => offered.has(protocol) && protocol,
  });
  const streams = new Set<Duplex>();
  server.on('upgrade', (request, stream, head) => {
    streams.add(stream);
    stream.once('close', () => streams.delete(stream)).on('error', () => {});
    const refuse = request.headers.authorization === `Bearer ${token}` ? options.refuse : unknownUser;
    if (refuse === null) return;
    if (refuse !== undefined) {
      stream.end(
        `HTTP/1.1 ${refuse.status} No\r\ncontent-type: application/json\r\n\r\n${JSON.stringify(refuse.body)}`,
      );
      return;
    }
    const url = new URL(request.url ?? '/', 'https://localhost');
    sockets.handleUpgrade(request, stream, head, (socket) => options.run?.(served(url, socket)));
  });
  await once(server.listen(0, 'localhost'), 'listening');
  return {
    kubeconfig: kubeconfigFor(server, ca.root),
    connections: () => streams.size,
    close: async () => {
      for (const stream of streams) stream.destroy();
      server.closeAllConnections();
      await once(server.close(), 'close');
    },
  };
}

const unknownUser = { status: 401, body: { reason: 'Unauthorized', message: 'Unauthorized' } };

function served(url: URL, socket: WebSocket): ServedProgram {
  const send = (channel: number, data: string | Buffer): void =>
    socket.send(Buffer.concat([Buffer.of(channel), Buffer.from(data)]));
  return {
    url,
    socket,
    stdout: (data) => send(1, data),
    stderr: (text) => send(2, text),
    end: (status) => {
      send(3, JSON.stringify(status));
      socket.close();
    },
    onStdin: (hear) => {
      socket.on('message', (data: Buffer) => {
        if (data[0] === 0) hear(data.subarray(1));
      });
    },
  };
}

function kubeconfigFor(server: Server, root: string): string {
  const { port } = server.address() as AddressInfo;
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'c',
        cluster: {
          server: `https://localhost:${port}`,
          'certificate-authority-data': Buffer.from(root).toString('base64'),
        },
      },
    ],
    users: [{ name: 'u', user: { token } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  });
}
