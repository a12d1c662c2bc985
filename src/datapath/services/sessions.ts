/**
 * The `sessions` map: with which endpoint a client's session goes on in the kernel. Sessions begin, move and end in ztunnel
 * alone, which leaves those with an endpoint on the kernel path here; the connect hook only goes on with them, and says
 * when it last did. An entry counts there while the Service's entry has the generation that it had when ztunnel chose, so
 * after any change among these endpoints each client asks ztunnel once.
 */
import { asMeshError, MeshError } from '../../base/errors.ts';
import type { IpAddress, Port, SocketAddress } from '../../base/ip.ts';
import type { Logger } from '../../base/log.ts';
import type { SessionEntry, SessionKey } from '../abi/service-layout.ts';
import type { MapTable } from '../map-table.ts';
import type { AppliedChoice } from './read.ts';

/** Whose, and where it leads. */
export interface ClientOf {
  readonly client: IpAddress;
  /** An address and port of the Service. */
  readonly dialled: SocketAddress;
}

/** What the kernel knows of a session. */
export interface KernelSession {
  readonly endpoint: SocketAddress;
  /** Since the client's last connection. */
  readonly idleMs: number;
}

export interface KernelSessionsDeps {
  readonly sessions: Pick<
    MapTable<SessionKey, SessionEntry>,
    'get' | 'set' | 'delete' | 'deleteAll' | 'entries'
  >;
  /** As the kernel has it now. */
  readonly choiceAt: (dialled: SocketAddress) => AppliedChoice | undefined;
  /** Nanoseconds, as the programs count them. */
  readonly monotonicNs: () => bigint;
  readonly log: Logger;
}

/** The longest that Kubernetes lets one last: those of Services that the kernel knows nothing of now. */
const longestMs = 86_400_000;
/** A map that is full of sessions that last is not looked through for each further client. */
const sweepAtMostEveryNs = 10_000_000_000n;

const nsPerMs = 1_000_000n;

export class KernelSessions {
  readonly #deps: KernelSessionsDeps;
  #sweptAt: bigint | undefined;
  #isClosed = false;

  constructor(deps: KernelSessionsDeps) {
    this.#deps = deps;
  }

  find(session: ClientOf): KernelSession | undefined {
    const entry = this.#try('reading a session', () => this.#deps.sessions.get(keyOf(session)));
    if (entry === undefined) return undefined;
    const { ip, port } = entry.endpoint;
    return { endpoint: { ip, port: port as Port }, idleMs: this.#idleMs(entry) };
  }

  /** The client's further connections go there, by the kernel. False if it cannot carry them there. */
  keep(session: ClientOf, endpoint: SocketAddress): boolean {
    const applied = this.#deps.choiceAt(session.dialled);
    if (applied?.choice.sessionMs === undefined || !isAmong(applied.choice.kernel, endpoint)) return false;
    const { generation } = applied;
    const entry = { lastUsed: this.#deps.monotonicNs(), generation, endpoint };
    return this.#try('keeping a session', () => this.#write(keyOf(session), entry)) ?? false;
  }

  /** The client's next connection asks ztunnel. */
  forget(session: ClientOf): void {
    this.#try('removing a session', () => this.#deps.sessions.delete(keyOf(session)));
  }

  /** Removes those that have ended. */
  sweep(): void {
    this.#sweptAt = this.#deps.monotonicNs();
    this.#try('removing ended sessions', () => {
      const { sessions } = this.#deps;
      const ended = sessions.entries().filter(([key, entry]) => this.#isOver(key, entry));
      sessions.deleteAll(ended.map(([key]) => key));
    });
  }

  /** Of entries that there are: one that they bear must never come to stand for another choice. */
  lastGeneration(): number {
    return this.#deps.sessions.entries().reduce((last, [, { generation }]) => Math.max(last, generation), 0);
  }

  /** The map's descriptor is about to be closed. */
  close(): void {
    this.#isClosed = true;
  }

  #isOver({ service }: SessionKey, entry: SessionEntry): boolean {
    const applied = this.#deps.choiceAt({ ip: service.ip, port: service.port as Port });
    const lastsMs = applied === undefined ? longestMs : (applied.choice.sessionMs ?? 0);
    return this.#idleMs(entry) >= lastsMs;
  }

  #idleMs({ lastUsed }: SessionEntry): number {
    return Math.max(0, Number((this.#deps.monotonicNs() - lastUsed) / nsPerMs));
  }

  /** False if there is no room. */
  #write(key: SessionKey, entry: SessionEntry): boolean {
    try {
      this.#deps.sessions.set(key, entry);
      return true;
    } catch (thrown) {
      if (!(thrown instanceof MeshError && thrown.code === 'BPF_MAP_FULL')) throw thrown;
    }
    const since = this.#sweptAt === undefined ? sweepAtMostEveryNs : entry.lastUsed - this.#sweptAt;
    if (since < sweepAtMostEveryNs) return false;
    this.sweep();
    return this.#write(key, entry);
  }

  /** What fails costs the kernel path, and no connection. */
  #try<T>(doing: string, action: () => T): T | undefined {
    if (this.#isClosed) return undefined;
    try {
      return action();
    } catch (thrown) {
      this.#deps.log.warn({ err: asMeshError(thrown) }, `${doing} failed: the client may be sent to ztunnel`);
      return undefined;
    }
  }
}

const keyOf = ({ client, dialled: { ip, port } }: ClientOf): SessionKey => ({
  client,
  service: { ip, port },
});

const isAmong = (endpoints: readonly SocketAddress[], { ip, port }: SocketAddress): boolean =>
  endpoints.some((endpoint) => endpoint.ip === ip && endpoint.port === port);
