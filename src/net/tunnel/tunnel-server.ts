/** An HBONE connection that came in for a pod: turns each CONNECT into an arrival, and everything else into a 400. */
import type { TLSSocket } from 'node:tls';
import { MeshError } from '../../base/errors.ts';
import type { SocketAddress } from '../../base/ip.ts';
import type { SpiffeId } from '../../model/identity.ts';
import type { HeaderList, StreamId } from '../h2/contract.ts';
import type { StreamEnd } from './stream-end.ts';
import { Tunnel, type TunnelDeps } from './tunnel.ts';

/** A request as far as the tunnel understands it; the rest of an `HboneArrival` is the pod's to add. */
export interface ConnectRequest {
  readonly client: SocketAddress;
  readonly local: SocketAddress;
  readonly peerIdentity: SpiffeId;
  readonly authority: string;
  readonly headers: ReadonlyMap<string, string>;
}

export interface TunnelServerEvents {
  connect(request: ConnectRequest, near: StreamEnd): void;
  /** A request that is no CONNECT; it was answered. */
  rejected(error: MeshError): void;
  closed(error: MeshError | undefined): void;
  gone(): void;
}

interface TunnelServerPeer {
  readonly client: SocketAddress;
  readonly local: SocketAddress;
  readonly peerIdentity: SpiffeId;
  readonly validUntil: number;
}

export class TunnelServer {
  readonly #tunnel: Tunnel;
  readonly #peer: Omit<TunnelServerPeer, 'validUntil'>;
  readonly #events: TunnelServerEvents;

  constructor(
    socket: TLSSocket,
    { validUntil, ...peer }: TunnelServerPeer,
    deps: TunnelDeps,
    events: TunnelServerEvents,
  ) {
    this.#peer = peer;
    this.#events = events;
    this.#tunnel = new Tunnel(socket, { role: 'server', validUntil }, deps, {
      ready() {},
      headers: (stream, headers, end) => this.#request(stream, headers, end),
      changed() {},
      closed: (error) => events.closed(error),
      gone: () => events.gone(),
    });
  }

  start(): void {
    this.#tunnel.start();
  }

  get bufferedBytes(): number {
    return this.#tunnel.bufferedBytes;
  }

  drain(): void {
    this.#tunnel.drain();
  }

  destroy(error: MeshError): void {
    this.#tunnel.destroy(error);
  }

  #request(stream: StreamId, list: HeaderList, end: boolean): void {
    const near = this.#tunnel.endOf(stream);
    if (end) near.onEnd();
    const { method, authority, headers } = parse(list);
    if (method !== 'CONNECT' || authority === undefined) {
      const error = new MeshError(
        'BAD_CONNECT',
        `${this.#peer.peerIdentity} sent a ${method}, not a CONNECT`,
      );
      near.refuse(error);
      this.#events.rejected(error);
      return;
    }
    this.#events.connect({ ...this.#peer, authority, headers }, near);
  }
}

interface Request {
  readonly method: string | undefined;
  readonly authority: string | undefined;
  /** Without the pseudo-fields. */
  readonly headers: ReadonlyMap<string, string>;
}

/** Repeated fields are joined as RFC 9110 §5.3 says; `baggage` may come in several lines. */
function parse(list: HeaderList): Request {
  let method: string | undefined;
  let authority: string | undefined;
  const headers = new Map<string, string>();
  for (const [name, value] of list) {
    if (name === ':method') method = value;
    else if (name === ':authority') authority = value;
    else if (!name.startsWith(':')) {
      const before = headers.get(name);
      headers.set(name, before === undefined ? value : `${before},${value}`);
    }
  }
  return { method, authority, headers };
}
