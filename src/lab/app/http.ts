/** A small HTTP server and client for the lab's pods: the server says who it is and whom it saw. */
import { createServer, request } from 'node:http';
import { hostname } from 'node:os';

/** What the server answers, as one line of JSON. */
export interface HttpAnswer {
  /** The pod that answered. */
  readonly pod: string;
  /** The client's address, as the server's socket has it. */
  readonly client: string;
  /** The address the client reached, as the server's socket has it. */
  readonly local: string;
  readonly method: string;
  readonly path: string;
  /** What the client sent in its body. */
  readonly body: string;
}

const maxBody = 64 * 1024;

/** Serves until the process ends; listens on all addresses. */
export function serveHttp(port: number, log: (line: string) => void): void {
  const server = createServer((incoming, response) => {
    const { remoteAddress = '', remotePort, localAddress = '', localPort } = incoming.socket;
    let body = '';
    incoming.setEncoding('utf8').on('data', (text: string) => (body = (body + text).slice(0, maxBody)));
    incoming.on('end', () => {
      const answer: HttpAnswer = {
        pod: hostname(),
        client: `${plain(remoteAddress)} ${remotePort}`,
        local: `${plain(localAddress)} ${localPort}`,
        method: incoming.method ?? '',
        path: incoming.url ?? '',
        body,
      };
      response.setHeader('content-type', 'application/json');
      response.end(`${JSON.stringify(answer)}\n`);
      log(`${answer.method} ${answer.path} from ${answer.client}`);
    });
  });
  server.listen({ port, host: '::', ipv6Only: false }, () => log(`http on port ${port}`));
}

/** Dual-stack sockets show IPv4 clients as IPv4-mapped IPv6. */
export const plain = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/, '');

export interface HttpOptions {
  readonly url: string;
  /** Sent as a POST when given. */
  readonly body: string | undefined;
  readonly timeoutMs: number;
}

export interface HttpResult {
  readonly url: string;
  readonly ok: boolean;
  readonly status?: number;
  readonly body?: string;
  /** The system's error code or message, when there was no answer. */
  readonly error?: string;
  /** From the call to the last byte, name look-up included. */
  readonly milliseconds: number;
}

/** One request on a new connection. Never rejects: failing is an answer too. */
export function fetchHttp({ url, body, timeoutMs }: HttpOptions): Promise<HttpResult> {
  const startedAt = performance.now();
  const took = (): number => Math.round((performance.now() - startedAt) * 100) / 100;
  return new Promise((resolve) => {
    const fail = (error: NodeJS.ErrnoException): void =>
      resolve({ url, ok: false, error: error.code ?? error.message, milliseconds: took() });
    const signal = AbortSignal.timeout(timeoutMs);
    const asked = request(
      url,
      { method: body === undefined ? 'GET' : 'POST', agent: false, signal },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => (text += part));
        response.on('error', fail);
        response.on('end', () => {
          const status = response.statusCode ?? 0;
          resolve({ url, ok: status < 400, status, body: text.trimEnd(), milliseconds: took() });
        });
      },
    );
    asked.on('error', fail);
    asked.end(body);
  });
}
