/**
 * `sessionAffinity: ClientIP`: which endpoint a client's connections to a Service's port go to. As kube-proxy does, a
 * node remembers for its own clients, and an endpoint that may be used no more ends the session.
 */
import { formatSocketAddress, type IpAddress, type Port, type SocketAddress } from '../base/ip.ts';
import type { ServiceKey } from '../model/mesh.ts';

export interface SessionKey {
  readonly client: IpAddress;
  readonly service: ServiceKey;
  readonly port: Port;
}

interface Session {
  readonly endpoint: string;
  readonly endsAt: number;
}

/** More sessions than the clients of one node have: 100 pods, each with some hundred Services. */
const defaultCapacity = 32_768;

export class SessionAffinity {
  readonly #now: () => number;
  readonly #capacity: number;
  /** The one that was used longest ago first. */
  readonly #sessions = new Map<string, Session>();

  /** @param now milliseconds */
  constructor(now: () => number, capacity: number = defaultCapacity) {
    this.#now = now;
    this.#capacity = capacity;
  }

  /** The endpoint of the client's session, which begins now if there is none; undefined if no endpoint is usable. */
  endpointFor(
    { client, service, port }: SessionKey,
    usable: readonly SocketAddress[],
    timeoutMs: number,
  ): SocketAddress | undefined {
    const key = `${service} ${port} ${client}`;
    const session = this.#sessions.get(key);
    const lasting = session !== undefined && session.endsAt > this.#now() ? session.endpoint : undefined;
    const chosen =
      usable.find((endpoint) => formatSocketAddress(endpoint) === lasting) ?? byRendezvous(key, usable);
    this.#sessions.delete(key);
    if (chosen === undefined) return undefined;
    this.#sessions.set(key, { endpoint: formatSocketAddress(chosen), endsAt: this.#now() + timeoutMs });
    const [oldest] = this.#sessions.keys();
    if (this.#sessions.size > this.#capacity && oldest !== undefined) this.#sessions.delete(oldest);
    return chosen;
  }
}

/**
 * Where a session begins: the endpoint that scores highest with this client. A node program that starts anew has
 * forgotten its sessions, and by this they go on, unless endpoints have come since.
 */
function byRendezvous(key: string, usable: readonly SocketAddress[]): SocketAddress | undefined {
  const scored = usable.map((endpoint) => ({
    endpoint,
    score: hash(`${key} ${formatSocketAddress(endpoint)}`),
  }));
  return scored.toSorted((a, b) => b.score - a.score)[0]?.endpoint;
}

/** FNV-1a, then MurmurHash3's finalizer: without it, addresses that differ in one digit score alike. */
function hash(text: string): number {
  let bits = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) bits = Math.imul(bits ^ text.charCodeAt(i), 0x01000193);
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
