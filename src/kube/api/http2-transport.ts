/**
 * All requests of a node on one HTTP/2 connection: 5 000 nodes with eight watches each are 5 000 connections at the
 * API servers. A half-dead connection is noticed by PING: otherwise a watch on it would wait for ever.
 */
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../../base/clock.ts';
import { MeshError } from '../../base/errors.ts';
import type { ApiRequest, ApiResponse, Transport } from './transport.ts';

/** A PING is sent this often, and the connection given up when the one before has no answer. */
const pingEveryMs = 15_000;
/** Windows for lists of megabytes; the default of 64 KiB costs a round trip each. */
const streamWindowBytes = 1024 * 1024;
const sessionWindowBytes = 4 * streamWindowBytes;

export class Http2Transport implements Transport {
  readonly #session: ClientHttp2Session;
  readonly #clock: Clock;
  #cancelPing: () => void = () => {};
  #isLeaving = false;

  constructor(clock: Clock, server: URL, socket: TLSSocket) {
    this.#clock = clock;
    const settings = { enablePush: false, initialWindowSize: streamWindowBytes };
    this.#session = connect(server, { createConnection: () => socket, settings });
    this.#session.once('connect', () => this.#session.setLocalWindowSize(sessionWindowBytes));
    // Every stream of the session gets the error too, and tells its reader.
    this.#session.on('error', () => {});
    this.#session.on('goaway', () => this.close());
    this.#session.on('close', () => this.#cancelPing());
    this.#session.unref();
    this.#schedulePing();
  }

  get isUsable(): boolean {
    return !this.#isLeaving && !this.#session.closed && !this.#session.destroyed;
  }

  get({ path, headers, signal }: ApiRequest): Promise<ApiResponse> {
    const stream = this.#session.request({ ...headers, ':path': path }, { endStream: true, signal });
    return responseOf(stream);
  }

  close(): void {
    this.#isLeaving = true;
    if (!this.#session.closed) this.#session.close();
  }

  #schedulePing(): void {
    let answered = true;
    const beat = (): void => {
      if (this.#session.destroyed) return;
      if (!answered) {
        this.#session.destroy(new MeshError('TIMEOUT', 'the connection to the API server is dead'));
        return;
      }
      answered = false;
      this.#session.ping(() => (answered = true));
      this.#cancelPing = this.#clock.after(pingEveryMs, beat);
    };
    this.#cancelPing = this.#clock.after(pingEveryMs, beat);
  }
}

const responseOf = (stream: ClientHttp2Stream): Promise<ApiResponse> =>
  new Promise((resolve, reject) => {
    stream.on('error', reject);
    stream.once('close', () => reject(new MeshError('API_UNAVAILABLE', 'the API server gave no answer')));
    stream.once('response', (headers) => {
      const retryAfter = headers[constants.HTTP2_HEADER_RETRY_AFTER];
      resolve({
        status: headers[':status'] ?? 0,
        retryAfter: typeof retryAfter === 'string' ? retryAfter : undefined,
        body: stream,
        isComplete: () => !stream.aborted && stream.rstCode === 0 && stream.session?.destroyed !== true,
      });
    });
  });
