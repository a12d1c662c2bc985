/**
 * An HBONE connection we dialled, with a stream for each application connection it carries. It releases itself when it
 * had no stream for a while.
 */
import { MeshError } from '../../base/errors.ts';
import { formatSocketAddress } from '../../base/ip.ts';
import type { HboneRoute } from '../engine.ts';
import type { HeaderList, StreamId } from '../h2/contract.ts';
import type { Wanted } from './ending.ts';
import { connectRefused } from './hbone-status.ts';
import type { Poolable } from './pool.ts';
import type { StreamEnd } from './stream-end.ts';
import type { SecureSocket } from './tls-client.ts';
import { Tunnel, type TunnelDeps, type TunnelEvents } from './tunnel.ts';

interface Asked {
  answered(headers: HeaderList, end: boolean): void;
}

export class TunnelClient implements Poolable {
  readonly #peer: string;
  readonly #deps: TunnelDeps;
  readonly #tunnel: Tunnel;
  readonly #asked = new Map<StreamId, Asked>();
  readonly #ready = Promise.withResolvers<void>();
  #isReady = false;
  #idleSince: number;
  #cancelIdle: (() => void) | undefined;

  constructor(
    { socket, validUntil }: SecureSocket,
    peer: string,
    deps: TunnelDeps,
    events: Pick<TunnelEvents, 'gone'> & { closed(): void },
  ) {
    this.#peer = peer;
    this.#deps = deps;
    this.#idleSince = deps.clock.now();
    this.#tunnel = new Tunnel(socket, { role: 'client', validUntil }, deps, {
      ready: () => {
        this.#isReady = true;
        this.#ready.resolve();
      },
      headers: (stream, headers, end) => this.#asked.get(stream)?.answered(headers, end),
      changed: () => this.#watchIdle(),
      closed: (error) => {
        this.#cancelIdle?.();
        this.#ready.reject(notReady(peer, error));
        events.closed();
      },
      gone: () => events.gone(),
    });
    this.#ready.promise.catch(() => {}); // whoever waits for it is told
  }

  /**
   * Resolves when the peer has sent its SETTINGS: only then has it accepted our certificate.
   * @throws MeshError TLS_FAILED, H2_PROTOCOL, or why it is not wanted any more
   */
  async start(wanted: Wanted): Promise<void> {
    const ended = (reason: MeshError): void => this.destroy(reason);
    wanted.listen(ended);
    try {
      this.#tunnel.start();
      await this.#ready.promise;
      this.#watchIdle();
    } finally {
      wanted.forget(ended);
    }
  }

  get available(): number {
    return this.#isReady ? this.#tunnel.session.availableStreams : 0;
  }

  get bufferedBytes(): number {
    return this.#tunnel.bufferedBytes;
  }

  /**
   * A stream to the route's target, after the peer's ztunnel has connected it.
   * @throws MeshError CONNECT_REFUSED, STREAM_RESET, PEER_GONE, OVERLOADED, or why it is not wanted any more
   */
  open(route: HboneRoute, wanted: Wanted): Promise<StreamEnd> {
    const target = formatSocketAddress(route.target);
    const stream = this.#tunnel.session.openStream([
      [':method', 'CONNECT'],
      [':authority', target],
      ...route.headers,
    ]);
    const end = this.#tunnel.endOf(stream);
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        this.#asked.delete(stream);
        wanted.forget(failed);
        cancelTimer();
      };
      const failed = (error: MeshError): void => {
        settle();
        end.reset(error);
        reject(error);
      };
      const cancelTimer = this.#deps.clock.after(this.#deps.options.responseTimeoutMs, () =>
        failed(new MeshError('PEER_GONE', `ztunnel at ${this.#peer} did not answer CONNECT in time`)),
      );
      wanted.listen(failed);
      end.attach({ ...ignoring, failed });
      this.#asked.set(stream, {
        answered: (headers, ended) => {
          const status = headers.find(([name]) => name === ':status')?.[1] ?? '';
          if (status !== '200') return failed(connectRefused(status, this.#peer, target));
          settle();
          // A reset may be in the same read as the answer, before anybody else can be attached.
          end.detach();
          if (ended) end.onEnd();
          resolve(end);
        },
      });
    });
  }

  /** GOAWAY; closes when the last stream has ended. */
  /** Those who wait for a connection that is not ready yet get their streams first. */
  drain(): void {
    if (this.#isReady) this.#tunnel.drain();
    else
      this.#ready.promise.then(
        () => setImmediate(() => this.#tunnel.drain()),
        () => {},
      );
  }

  destroy(error: MeshError): void {
    this.#tunnel.destroy(error);
  }

  #watchIdle(): void {
    this.#idleSince = this.#deps.clock.now();
    if (this.#cancelIdle === undefined && this.#tunnel.openStreams === 0) this.#releaseAfter(this.#idleMs);
  }

  #releaseAfter(delayMs: number): void {
    this.#cancelIdle = this.#deps.clock.after(delayMs, () => {
      this.#cancelIdle = undefined;
      if (this.#tunnel.openStreams > 0) return;
      const idleMs = this.#deps.clock.now() - this.#idleSince;
      if (idleMs >= this.#idleMs) this.drain();
      else this.#releaseAfter(this.#idleMs - idleMs);
    });
  }

  get #idleMs(): number {
    return this.#deps.options.idleReleaseMs;
  }
}

const ignoring = { data() {}, ended() {}, writable() {}, finished() {} } as const;

/** A server that does not like our certificate says so only after our side of the handshake: by closing. */
function notReady(peer: string, error: MeshError | undefined): MeshError {
  if (error !== undefined && error.code !== 'PEER_GONE') return error;
  return new MeshError('TLS_FAILED', `${peer} closed the connection right after the TLS handshake`, {
    hint: 'it probably refused our certificate: its log says why; compare roots and trust domain of both nodes',
    cause: error,
  });
}
