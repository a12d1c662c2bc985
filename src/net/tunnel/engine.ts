/**
 * The TypeScript `TunnelEngine`: Node's sockets and TLS, our own HTTP/2. The reference and the fallback for the native
 * one. This file composes; the way of a connection is in `flow.ts`.
 */
import type { Clock } from '../../base/clock.ts';
import { MeshError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { CredentialSource } from '../../model/credentials.ts';
import type { WorkloadUid } from '../../model/mesh.ts';
import type { ConnectionDecider, EnginePod, EngineStats, PodListeners, TunnelEngine } from '../engine.ts';
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
  readonly #podDeps: PodServerDeps;
  #draining: (() => void) | undefined;

  constructor(deps: EngineDeps, options: EngineOptions) {
    const ownDials = new OwnDials();
    this.#podDeps = {
      ...deps,
      options,
      ownDials,
      turn: new Turn(),
      reads: new SharedReads(),
      stalls: new StallWatch(deps.clock),
      socketError: (fd) => deps.sockets.socketError(fd),
      tunnelBuffers: new WriteBuffers(tunnelBufferSize),
      writeBuffers: new WriteBuffers(writeBufferSize),
      contexts: new ClientContexts(),
      dialer: new Dialer({ ...deps, ownDials }, { timeoutMs: options.dialTimeoutMs }),
      changed: () => this.#draining?.(),
    };
  }

  addPod(pod: EnginePod, listeners: PodListeners): void {
    const known = this.#pods.get(pod.uid);
    if (known !== undefined) known.update(pod, listeners);
    else this.#pods.set(pod.uid, new PodServer(pod, listeners, this.#podDeps));
  }

  removePod(uid: WorkloadUid): void {
    this.#pods.get(uid)?.destroy(new MeshError('POD_REMOVED', 'the pod left the mesh'));
    this.#pods.delete(uid);
  }

  stats(): EngineStats {
    const pods = [...this.#pods.values()];
    const sum = (of: (pod: PodServer) => number): number => pods.reduce((total, pod) => total + of(pod), 0);
    return {
      connections: sum((pod) => pod.connections),
      tunnelsOut: sum((pod) => pod.tunnelsOut),
      tunnelsIn: sum((pod) => pod.tunnelsIn),
      bufferedBytes: sum((pod) => pod.bufferedBytes),
    };
  }

  async drain(deadline: AbortSignal): Promise<void> {
    for (const pod of this.#pods.values()) pod.drain();
    await this.#idle(deadline);
    this.destroy(
      new MeshError('DRAINING', 'the proxy stops, and this connection outlived the time it was given'),
    );
  }

  destroy(error: MeshError): void {
    for (const pod of this.#pods.values()) pod.destroy(error);
    this.#pods.clear();
  }

  /** Also with tunnels alone: what a finished connection sent last may be under way in them. */
  #isBusy(): boolean {
    const { connections, tunnelsOut, tunnelsIn } = this.stats();
    return connections + tunnelsOut + tunnelsIn > 0;
  }

  /** Resolves when the last connection has ended and its last byte has left, or at the deadline. */
  #idle(deadline: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        if (!deadline.aborted && this.#isBusy()) return;
        this.#draining = undefined;
        deadline.removeEventListener('abort', check);
        resolve();
      };
      this.#draining = check;
      deadline.addEventListener('abort', check);
      check();
    });
  }
}
