/**
 * One pod's place in the engine: its three listeners, its connections and its tunnels, and the limits that keep one pod
 * from starving the others.
 */
import type { Server, Socket } from 'node:net';
import { asMeshError, MeshError } from '../../base/errors.ts';
import { formatSocketAddress, parseIp, parsePort, type SocketAddress } from '../../base/ip.ts';
import type { Logger } from '../../base/log.ts';
import type { Arrival, ConnectionDecider, EnginePod, PodListeners, Route } from '../engine.ts';
import type { ByteEnd, NearEnd } from './byte-end.ts';
import { Ending, type Wanted } from './ending.ts';
import { Flow, type FlowDeps } from './flow.ts';
import { HboneDialer, type HboneDialerDeps } from './hbone-dialer.ts';
import { failureOf } from './hop-of.ts';
import { closeUnlessSame, listenOn } from './listener.ts';
import type { OwnDials } from './own-dials.ts';
import { PodMemory } from './pod-memory.ts';
import { TcpEnd, type TcpEndDeps } from './tcp-end.ts';
import { TlsAcceptor } from './tls-acceptor.ts';
import { TunnelServer } from './tunnel-server.ts';

export interface PodServerDeps extends Omit<HboneDialerDeps, 'memory'>, Omit<TcpEndDeps, 'memory'> {
  readonly decider: ConnectionDecider;
  readonly log: Logger;
  readonly ownDials: OwnDials;
}

interface Ends {
  readonly client: SocketAddress;
  readonly local: SocketAddress;
}

export class PodServer {
  #pod: EnginePod;
  readonly #listeners: PodListeners;
  readonly #deps: PodServerDeps & TcpEndDeps;
  readonly #servers: readonly Server[];
  readonly #acceptor: TlsAcceptor;
  readonly #hbone: HboneDialer;
  readonly #flows = new Set<Flow>();
  readonly #flowDeps: FlowDeps;
  readonly #inbound = new Set<TunnelServer>();
  /** Over when the pod is removed: ends handshakes and dials in flight. */
  readonly #life = new Ending();

  constructor(pod: EnginePod, listeners: PodListeners, deps: PodServerDeps) {
    this.#pod = pod;
    this.#listeners = listeners;
    this.#deps = {
      ...deps,
      memory: new PodMemory(deps.options.maxUnsentBytesPerPod, () => this.#relieve()),
    };
    this.#acceptor = new TlsAcceptor(deps, {
      handshakeTimeoutMs: deps.options.handshakeTimeoutMs,
      certificateTimeoutMs: deps.options.certificateTimeoutMs,
      maxHandshakes: deps.options.maxHandshakesPerPod,
    });
    this.#hbone = new HboneDialer(this.#deps, this.#life);
    const { log } = deps;
    this.#flowDeps = {
      ...deps,
      halfCloseLingerMs: deps.options.halfCloseLingerMs,
      decisionTimeoutMs: deps.options.decisionTimeoutMs,
      nextRouteAfterMs: deps.options.nextRouteAfterMs,
      open: (arrival, route, wanted) => this.#open(arrival, route, wanted),
      over: (ended) => {
        this.#flows.delete(ended);
        this.#deps.changed();
      },
    };
    this.#servers = [
      listenOn(listeners.outbound, { allowHalfOpen: true, log }, (socket) => this.#outbound(socket)),
      listenOn(listeners.plaintext, { allowHalfOpen: true, log }, (socket) => this.#plaintext(socket)),
      listenOn(listeners.hbone, { allowHalfOpen: false, log }, (socket) => this.#tunnel(socket)),
    ];
  }

  /** Takes on a new identity and addresses, and keeps the sockets it has. */
  update(pod: EnginePod, listeners: PodListeners): void {
    this.#pod = pod;
    closeUnlessSame(listeners, this.#listeners);
  }

  get connections(): number {
    return this.#flows.size;
  }

  get tunnelsOut(): number {
    return this.#hbone.tunnels.size;
  }

  get tunnelsIn(): number {
    return this.#inbound.size;
  }

  get bufferedBytes(): number {
    const holders = [...this.#flows, ...this.#hbone.tunnels, ...this.#inbound];
    return holders.reduce((sum, holder) => sum + holder.bufferedBytes, 0);
  }

  /** Nothing new is accepted, and tunnels end with their last stream. */
  drain(): void {
    for (const server of this.#servers) server.close();
    for (const tunnel of [...this.#hbone.tunnels, ...this.#inbound]) tunnel.drain();
  }

  destroy(error: MeshError): void {
    this.drain();
    this.#life.end(error);
    for (const flow of this.#flows) flow.close(error);
    for (const tunnel of [...this.#hbone.tunnels, ...this.#inbound]) tunnel.destroy(error);
    this.#deps.dialer.forget(this.#pod.uid);
  }

  #outbound(socket: Socket): void {
    const ends = endsOf(socket);
    if (ends === undefined) return;
    const near = new TcpEnd(socket, 'application', this.#deps);
    this.#serve({ type: 'outbound', pod: this.#pod, ...ends }, near);
  }

  #plaintext(socket: Socket): void {
    const ends = endsOf(socket);
    if (ends === undefined) return;
    const near = new TcpEnd(socket, 'peer', this.#deps);
    if (this.#deps.ownDials.has(this.#pod.uid, ends.client, ends.local)) this.#rejectOwn(near, ends);
    else this.#serve({ type: 'plaintext', pod: this.#pod, ...ends }, near);
  }

  #rejectOwn(near: NearEnd, ends: Ends): void {
    const error = new MeshError(
      'RECURSIVE_CALL',
      `our own connection to ${formatSocketAddress(ends.local)} came back to us`,
      {
        hint: 'the kernel lost its record of it; is the flow map full? mesh-ebpf maps',
      },
    );
    near.refuse(error);
    this.#reject(ends, error);
  }

  #tunnel(raw: Socket): void {
    const ends = endsOf(raw);
    if (ends === undefined) return;
    this.#accept(raw, ends).catch((thrown: unknown) => this.#reject(ends, asMeshError(thrown)));
  }

  async #accept(raw: Socket, ends: Ends): Promise<void> {
    if (this.#inbound.size >= this.#deps.options.maxTunnelsPerPod) {
      raw.resetAndDestroy();
      throw new MeshError(
        'OVERLOADED',
        `${this.#inbound.size} HBONE connections to this pod are open already`,
      );
    }
    const pod = this.#pod;
    const peer = formatSocketAddress(ends.client);
    const { socket, ...proved } = await this.#acceptor.accept(raw, peer, pod.identity, this.#life);
    const tunnel = new TunnelServer(socket, { ...ends, ...proved }, this.#deps, {
      connect: (request, near) => this.#serve({ type: 'hbone', pod: this.#pod, ...request }, near),
      rejected: (error) => this.#reject(ends, error),
      closed: (error) => {
        if (error !== undefined) this.#deps.log.debug({ peer, code: error.code }, error.message);
      },
      gone: () => {
        this.#inbound.delete(tunnel);
        this.#deps.changed();
      },
    });
    this.#inbound.add(tunnel);
    tunnel.start();
  }

  #serve(arrival: Arrival, near: NearEnd): void {
    if (this.#flows.size >= this.#deps.options.maxConnectionsPerPod) {
      const error = new MeshError(
        'OVERLOADED',
        `${this.#flows.size} connections of this pod are open already`,
      );
      near.refuse(error);
      this.#reject(arrival, error);
      return;
    }
    const flow = new Flow(near, this.#flowDeps);
    this.#flows.add(flow);
    flow.start(arrival);
  }

  async #open(arrival: Arrival, route: Route, wanted: Wanted): Promise<ByteEnd> {
    if (route.type === 'hbone') return this.#hbone.open(arrival.pod, route, wanted);
    const socket = await this.#deps.dialer.dial(arrival.pod, route, wanted);
    return new TcpEnd(socket, arrival.type === 'outbound' ? 'peer' : 'application', this.#deps);
  }

  /** The pod holds more than it may: the connection that holds most ends. */
  #relieve(): void {
    let greediest: Flow | undefined;
    for (const flow of this.#flows) {
      if (flow.bufferedBytes > (greediest?.bufferedBytes ?? 0)) greediest = flow;
    }
    greediest?.close(
      new MeshError('OVERLOADED', 'connections of this pod hold too many bytes that nobody reads', {
        hint: 'this one held most; does the application at its end still read?',
      }),
    );
  }

  #reject({ client, local }: Ends, error: MeshError): void {
    this.#deps.decider.rejected({ pod: this.#pod, client, local }, failureOf(error));
  }
}

/** Undefined when the connection is gone already: there is nothing to serve then. */
function endsOf(socket: Socket): Ends | undefined {
  const { remoteAddress, remotePort, localAddress, localPort } = socket;
  if (remoteAddress === undefined || localAddress === undefined || !remotePort || !localPort) {
    socket.on('error', () => {});
    socket.destroy();
    return undefined;
  }
  return {
    client: { ip: parseIp(remoteAddress), port: parsePort(remotePort) },
    local: { ip: parseIp(localAddress), port: parsePort(localPort) },
  };
}
