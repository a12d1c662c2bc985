/**
 * Streams to other ztunnels, for one pod: finds or dials the connection and asks for the stream. A connection that had
 * been standing for a while may have died unnoticed, and a ztunnel may die and come back; a stream lost to that is asked
 * for again on a fresh connection, which is safe because nothing was sent on it.
 */
import { MeshError } from '../../base/errors.ts';
import { formatSocketAddress } from '../../base/ip.ts';
import type { Credentials, CredentialSource } from '../../model/credentials.ts';
import type { EnginePod, HboneRoute } from '../engine.ts';
import { peerGone } from './attempts.ts';
import { deadline } from './deadline.ts';
import type { Departures } from './departures.ts';
import type { Dialer } from './dialer.ts';
import { throwIfEnded, toSignal, type Wanted } from './ending.ts';
import { Pool } from './pool.ts';
import type { StreamEnd } from './stream-end.ts';
import { secureClient } from './tls-client.ts';
import type { ClientContexts } from './tls-contexts.ts';
import { TunnelClient } from './tunnel-client.ts';
import type { TunnelDeps } from './tunnel.ts';

export interface HboneDialerDeps extends TunnelDeps {
  readonly credentials: CredentialSource;
  readonly contexts: ClientContexts;
  readonly dialer: Dialer;
  readonly departures: Departures;
  /** A connection or tunnel ended. */
  readonly changed: () => void;
}

/** How often a stream is asked for again that was lost with a connection made for it. */
const maxRepeats = 2;

export class HboneDialer {
  readonly #deps: HboneDialerDeps;
  readonly #pool = new Pool<TunnelClient>();
  readonly #tunnels = new Set<TunnelClient>();
  /** Ends dials in flight, which belong to nobody in particular. */
  readonly #life: Wanted;

  constructor(deps: HboneDialerDeps, life: Wanted) {
    this.#deps = deps;
    this.#life = life;
  }

  get tunnels(): ReadonlySet<TunnelClient> {
    return this.#tunnels;
  }

  /** @throws MeshError with the code of the hop that failed */
  async open(pod: EnginePod, route: HboneRoute, wanted: Wanted): Promise<StreamEnd> {
    const key = poolKey(pod, route);
    for (let repeats = 0; ;) {
      const end = await this.#pool.use(
        key,
        () => this.#dial(key, pod, route),
        (connection, reused) => {
          if (!reused) repeats += 1;
          return openOn(connection, route, { wanted, again: reused || repeats <= maxRepeats });
        },
        wanted,
      );
      if (end !== undefined) return end;
    }
  }

  async #dial(key: string, pod: EnginePod, route: HboneRoute): Promise<TunnelClient> {
    const peer = formatSocketAddress(route.via);
    const { clock, options } = this.#deps;
    const limit = deadline(clock, options.dialTimeoutMs, this.#life, () =>
      tooSlow(peer, options.dialTimeoutMs),
    );
    const forget = this.#whenGone(route, () => limit.end(peerGone(route.via)));
    try {
      const tunnel = await this.#connect(key, pod, route, limit.wanted);
      await tunnel.start(limit.wanted);
      return tunnel;
    } finally {
      limit.cancel();
      forget();
    }
  }

  async #connect(key: string, pod: EnginePod, route: HboneRoute, wanted: Wanted): Promise<TunnelClient> {
    const { contexts, dialer, clock } = this.#deps;
    const peer = formatSocketAddress(route.via);
    const credentials = await this.#credentials(pod, wanted);
    const raw = await dialer.dial(pod, { target: route.via, source: undefined }, wanted);
    const expected = {
      trustDomain: credentials.trustDomain,
      identities: route.expectedIdentities,
      peer,
      now: clock.now(),
    };
    const secure = await secureClient(raw, contexts.of(credentials), expected, wanted);
    const tunnel = new TunnelClient(secure, peer, this.#deps, {
      closed: () => this.#pool.remove(key, tunnel),
      gone: () => {
        forget();
        this.#tunnels.delete(tunnel);
        this.#deps.changed();
      },
    });
    const forget = this.#whenGone(route, () => tunnel.drain());
    this.#tunnels.add(tunnel);
    return tunnel;
  }

  async #credentials({ identity }: EnginePod, wanted: Wanted): Promise<Credentials> {
    const { signal, done } = toSignal(wanted);
    try {
      return await this.#deps.credentials.get(identity, { signal });
    } finally {
      done();
    }
  }

  #whenGone({ via }: HboneRoute, act: () => void): () => void {
    return this.#deps.departures.listen(via.ip, (departure) => {
      if (departure === 'gone') act();
    });
  }
}

/** Undefined when the connection turned out to be dead: the next one may do. */
async function openOn(
  connection: TunnelClient,
  route: HboneRoute,
  { wanted, again }: { readonly wanted: Wanted; readonly again: boolean },
): Promise<StreamEnd | undefined> {
  throwIfEnded(wanted);
  try {
    return await connection.open(route, wanted);
  } catch (error) {
    if (again && connection.available === 0 && isLoss(error) && wanted.endedBy === undefined)
      return undefined;
    throw error;
  }
}

/** What must be equal for two connections to share a tunnel. */
const poolKey = (pod: EnginePod, route: HboneRoute): string =>
  [pod.identity, formatSocketAddress(route.via), ...[...route.expectedIdentities].toSorted()].join(' ');

const isLoss = (error: unknown): boolean =>
  error instanceof MeshError && ['PEER_GONE', 'STREAM_RESET', 'DRAINING', 'OVERLOADED'].includes(error.code);

const tooSlow = (peer: string, afterMs: number): MeshError =>
  new MeshError('DIAL_FAILED', `no HBONE connection to ${peer} within ${afterMs / 1000} s`, {
    hint: 'is the other node ready (mesh-ebpf status), and does every NetworkPolicy let port 15008 through?',
  });
