/**
 * The TypeScript `TunnelEngine`: Node's sockets and TLS, our own HTTP/2. The reference and the fallback for the native
 * one. This file composes; the way of a connection is in `flow.ts`.
 */
import type { Clock } from '../../base/clock.ts';
import { MeshError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { CredentialSource } from '../../model/credentials.ts';
import type { IpAddress } from '../../base/ip.ts';
import type { WorkloadUid } from '../../model/mesh.ts';
import type {
  ConnectionDecider,
  Departure,
  EnginePod,
  EngineStats,
  PodListeners,
  TunnelEngine,
} from '../engine.ts';
import { Departures } from './departures.ts';
import { Dialer, type SocketFactory } from './dialer.ts';
import { defaultEngineOptions, type EngineOptions } from './options.ts';
import { OwnDials } from './own-dials.ts';
import { PodServer, type PodServerDeps } from './pod-server.ts';
import { SharedReads } from './shared-reads.ts';
import { StallWatch } from './stall-watch.ts';
import { writeBufferSize } from './tcp-end.ts';
import { ClientContexts } from './tls-contexts.ts';
import { tunnelBufferSize } from './tunnel.ts';
import { Turn } from './turn.ts';
import { WriteBuffers } from './write-buffers.ts';

export interface EngineDeps {
  readonly sockets: SocketFactory;
  readonly credentials: CredentialSource;
  readonly decider: ConnectionDecider;
  readonly clock: Clock;
  readonly log: Logger;
}

export function createTypeScriptEngine(deps: EngineDeps, options: Partial<EngineOptions> = {}): TunnelEngine {
  return new TypeScriptEngine(deps, { ...defaultEngineOptions, ...options });
}

class TypeScriptEngine implements TunnelEngine {
  readonly #pods = new Map<WorkloadUid, PodServer>();
  /** Accept nothing any more, and still carry something. */
  readonly #retired = new Map<PodServer, WorkloadUid>();
  readonly #podDeps: PodServerDeps;
  /** Look, whenever a connection or tunnel has ended, whether it was the last one they wait for. */
  readonly #waiting = new Set<() => void>();

  constructor(deps: EngineDeps, options: EngineOptions) {
    const ownDials = new OwnDials();
    this.#podDeps = {
      ...deps,
      options,
      ownDials,
      departures: new Departures(),
      turn: new Turn(),
      reads: new SharedReads(),
      stalls: new StallWatch(deps.clock),
      socketError: (fd) => deps.sockets.socketError(fd),
      tunnelBuffers: new WriteBuffers(tunnelBufferSize),
      writeBuffers: new WriteBuffers(writeBufferSize),
      contexts: new ClientContexts(),
      dialer: new Dialer({ ...deps, ownDials }, { timeoutMs: options.dialTimeoutMs }),
      changed: () => this.#waiting.forEach((look) => look()),
    };
  }

  addPod(pod: EnginePod, listeners: PodListeners): void {
    const known = this.#pods.get(pod.uid);
    if (known !== undefined) known.update(pod, listeners);
    else this.#pods.set(pod.uid, new PodServer(pod, listeners, this.#podDeps));
  }

  removePod(uid: WorkloadUid): void {
    const removed = new MeshError('POD_REMOVED', 'the pod left the mesh');
    for (const [server, retired] of this.#retired) if (retired === uid) server.destroy(removed);
    this.#pods.get(uid)?.destroy(removed);
    this.#pods.delete(uid);
  }

  async retirePod(uid: WorkloadUid): Promise<void> {
    const server = this.#pods.get(uid);
    if (server === undefined) return;
    this.#pods.delete(uid);
    this.#retired.set(server, uid);
    server.drain();
    await this.#until(() => !isBusy(server));
    this.#retired.delete(server);
  }

  peerDeparts(ip: IpAddress, departure: Departure): void {
    this.#podDeps.departures.tell(ip, departure);
  }

  stats(): EngineStats {
    const pods = this.#servers();
    const sum = (of: (pod: PodServer) => number): number => pods.reduce((total, pod) => total + of(pod), 0);
    return {
      connections: sum((pod) => pod.connections),
      tunnelsOut: sum((pod) => pod.tunnelsOut),
      tunnelsIn: sum((pod) => pod.tunnelsIn),
      bufferedBytes: sum((pod) => pod.bufferedBytes),
    };
  }

  async drain(deadline: AbortSignal): Promise<void> {
    for (const pod of this.#servers()) pod.drain();
    // Also with tunnels alone: what a finished connection sent last may be under way in them.
    await this.#until(() => !isBusy(this.stats()), deadline);
    this.destroy(
      new MeshError('DRAINING', 'the proxy stops, and this connection outlived the time it was given'),
    );
  }

  destroy(error: MeshError): void {
    for (const pod of this.#servers()) pod.destroy(error);
    this.#pods.clear();
  }

  #servers(): readonly PodServer[] {
    return [...this.#pods.values(), ...this.#retired.keys()];
  }

  /** Resolves when `done` holds, which only an end can make so, or at the deadline. */
  #until(done: () => boolean, deadline?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!done() && deadline?.aborted !== true) return;
        this.#waiting.delete(look);
        deadline?.removeEventListener('abort', look);
        resolve();
      };
      this.#waiting.add(look);
      deadline?.addEventListener('abort', look);
      look();
    });
  }
}

const isBusy = ({
  connections,
  tunnelsOut,
  tunnelsIn,
}: Pick<EngineStats, 'connections' | 'tunnelsOut' | 'tunnelsIn'>): boolean =>
  connections + tunnelsOut + tunnelsIn > 0;
