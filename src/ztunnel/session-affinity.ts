/**
 * `sessionAffinity: ClientIP`: which endpoint a client's connections to a Service's port go to. As kube-proxy does, a
 * node remembers for its own clients, and an endpoint that may be used no more ends the session. Where the kernel goes on
 * with a session by itself, it has one more memory of it, which also says when it last did; of the two the later counts.
 */
import { formatSocketAddress, type SocketAddress } from '../base/ip.ts';
import type { ClientOf, KernelSession, KernelSessions } from '../datapath/services/sessions.ts';
import type { ServiceKey } from '../model/mesh.ts';

export interface SessionKey extends ClientOf {
  readonly service: ServiceKey;
  /** The client's pod takes the kernel path: another one's sessions the kernel never asks for. */
  readonly byKernel: boolean;
}

/** What ztunnel needs of the kernel's sessions. */
export type SessionsInKernel = Pick<KernelSessions, 'find' | 'keep' | 'forget'>;

interface Session {
  readonly endpoint: string;
  readonly usedAt: number;
}

/** More sessions than the clients of one node have: 100 pods, each with some hundred Services. */
const defaultCapacity = 32_768;

export class SessionAffinity {
  readonly #now: () => number;
  readonly #kernel: SessionsInKernel;
  readonly #capacity: number;
  /** The one that was used longest ago first. */
  readonly #sessions = new Map<string, Session>();

  /** @param now milliseconds */
  constructor(now: () => number, kernel: SessionsInKernel, capacity: number = defaultCapacity) {
    this.#now = now;
    this.#kernel = kernel;
    this.#capacity = capacity;
  }

  /** The endpoint of the client's session, which begins now if there is none; undefined if no endpoint is usable. */
  endpointFor(
    session: SessionKey,
    usable: readonly SocketAddress[],
    timeoutMs: number,
  ): SocketAddress | undefined {
    const key = textOf(session);
    const inKernel = this.#kernel.find(session);
    const lasting = this.#lasting(key, inKernel, timeoutMs);
    const chosen =
      usable.find((endpoint) => formatSocketAddress(endpoint) === lasting) ?? byRendezvous(key, usable);
    this.#sessions.delete(key);
    if (chosen !== undefined) this.#remember(key, chosen);
    // The kernel must not go on to an endpoint that this client is not sent to any more.
    const isKept = chosen !== undefined && session.byKernel && this.#kernel.keep(session, chosen);
    if (!isKept && inKernel !== undefined) this.#kernel.forget(session);
    return chosen;
  }

  /** Its endpoint failed a connection: ztunnel is to see what becomes of the next one, for the kernel tries no other. */
  doubt(session: SessionKey): void {
    this.#kernel.forget(session);
  }

  #lasting(key: string, inKernel: KernelSession | undefined, timeoutMs: number): string | undefined {
    const own = this.#sessions.get(key);
    const ownIdleMs = own === undefined ? Infinity : this.#now() - own.usedAt;
    if (inKernel !== undefined && inKernel.idleMs <= ownIdleMs) {
      return inKernel.idleMs < timeoutMs ? formatSocketAddress(inKernel.endpoint) : undefined;
    }
    return ownIdleMs < timeoutMs ? own?.endpoint : undefined;
  }

  #remember(key: string, endpoint: SocketAddress): void {
    this.#sessions.set(key, { endpoint: formatSocketAddress(endpoint), usedAt: this.#now() });
    const [oldest] = this.#sessions.keys();
    if (this.#sessions.size > this.#capacity && oldest !== undefined) this.#sessions.delete(oldest);
  }
}

/** Enters the rendezvous: another text, and every client has another endpoint after an upgrade. */
const textOf = ({ service, dialled, client }: SessionKey): string => `${service} ${dialled.port} ${client}`;

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
