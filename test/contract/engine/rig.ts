/**
 * Two engines in one process, a node each, with pods on loopback addresses: real sockets, real TLS, real certificates
 * of a throw-away authority. The suite drives applications (plain sockets) and sees what the engine reported.
 */
import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { systemClock } from '../../../src/base/clock.ts';
import { MeshError } from '../../../src/base/errors.ts';
import { parseIp, parsePort, parseSocketAddress, type SocketAddress } from '../../../src/base/ip.ts';
import { silentLogger } from '../../../src/base/log.ts';
import type { Credentials, CredentialSource } from '../../../src/model/credentials.ts';
import { parseSpiffeId, type SpiffeId } from '../../../src/model/identity.ts';
import type { WorkloadUid } from '../../../src/model/mesh.ts';
import type { Fd } from '../../../src/native/binding.ts';
import { loadNative } from '../../../src/native/load.ts';
import type { EngineDeps } from '../../../src/net/tunnel/engine.ts';
import type { EngineOptions } from '../../../src/net/tunnel/options.ts';
import type {
  Arrival,
  ByteCounts,
  ConnectionObserver,
  Decision,
  EngineFailure,
  EnginePod,
  HboneRoute,
  LiveControl,
  PodListeners,
  Route,
  TunnelEngine,
} from '../../../src/net/engine.ts';
import { createTestCa, type TestCa } from '../../support/test-ca.ts';

export type EngineFactory = (deps: EngineDeps, options?: Partial<EngineOptions>) => TunnelEngine;

/** What the engine told about one connection. */
export interface Told {
  readonly arrival: Arrival;
  readonly failedRoutes: EngineFailure[];
  readonly slowRoutes: Route[];
  established: ({ readonly route: Route } & LiveControl) | undefined;
  finished: { counts: ByteCounts; failure: EngineFailure | undefined }[];
}

export interface RigPod {
  readonly engine: TunnelEngine;
  readonly pod: EnginePod;
  readonly outbound: SocketAddress;
  readonly plaintext: SocketAddress;
  readonly hbone: SocketAddress;
  readonly listeners: PodListeners;
}

export type Decide = (arrival: Arrival, observer: ConnectionObserver) => Decision | Promise<Decision>;

let nextHost = 2;

export class Rig {
  readonly ca: TestCa;
  readonly a: TunnelEngine;
  readonly b: TunnelEngine;
  readonly told: Told[] = [];
  readonly rejected: EngineFailure[] = [];
  readonly credentials = new Map<SpiffeId, Credentials>();
  /** Until when the certificate of an identity is waited for. */
  readonly pending = new Map<SpiffeId, Promise<void>>();
  /** Where outbound connections go; inbound ones go where the request says. */
  routes: readonly Route[] = [];
  /** Replaces the rig's decisions. */
  decide: Decide | undefined;
  /** Sockets that either engine had made to dial. */
  dials = 0;
  readonly loopback = parseIp('127.0.0.1');
  readonly #native = loadNative();
  readonly #servers: Server[] = [];
  readonly #sockets: Socket[] = [];

  private constructor(ca: TestCa, factory: EngineFactory, options: Partial<EngineOptions>) {
    this.ca = ca;
    const deps: EngineDeps = {
      sockets: {
        createSocket: (spec) => {
          this.dials++;
          return this.#native.createSocket({ ...spec, netns: null });
        },
        socketError: (fd) => this.#native.socketError(fd),
      },
      credentials: {
        get: (identity, { signal }) => this.#credentialsOf(identity, signal),
      } satisfies CredentialSource,
      decider: {
        decide: (arrival) => this.#decide(arrival),
        rejected: (_arrival, failure) => this.rejected.push(failure),
      },
      clock: systemClock,
      log: silentLogger,
    };
    this.a = factory(deps, options);
    this.b = factory(deps, options);
  }

  static async create(factory: EngineFactory, options: Partial<EngineOptions> = {}): Promise<Rig> {
    return new Rig(await createTestCa(), factory, options);
  }

  /** A pod with its own loopback address, and its three listeners on whatever ports are free. */
  async pod(node: 'a' | 'b', name: string, trustDomain = 'cluster.local'): Promise<RigPod> {
    const ip = parseIp(`127.77.${process.pid % 200}.${nextHost++ % 250}`);
    const identity = parseSpiffeId(`spiffe://${trustDomain}/ns/test/sa/${name}`);
    if (!this.credentials.has(identity)) this.credentials.set(identity, await this.ca.credentials(identity));
    const engine = this[node];
    const [outbound, plaintext, hbone] = [
      await this.#listen(ip),
      await this.#listen(ip),
      await this.#listen(ip),
    ];
    const pod: EnginePod = { uid: name as WorkloadUid, identity, addresses: [ip], netns: '' };
    const listeners = { outbound: outbound.fd, plaintext: plaintext.fd, hbone: hbone.fd };
    engine.addPod(pod, listeners);
    return { engine, pod, listeners, outbound: outbound.at, plaintext: plaintext.at, hbone: hbone.at };
  }

  /** An application that listens; `serve` gets each connection. */
  async application(
    serve: (socket: Socket) => void,
    options = { allowHalfOpen: true },
  ): Promise<SocketAddress> {
    const server = createServer(options, (socket) => {
      this.#sockets.push(socket);
      socket.on('error', () => {});
      serve(socket);
    });
    this.#servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    return { ip: parseIp('127.0.0.1'), port: parsePort(port) };
  }

  /** Passes connections on to `to` until it is told to go silent, as a dead link does, or to cut them. */
  async muteProxy(to: SocketAddress): Promise<{ at: SocketAddress; silence(): void; cut(): void }> {
    const pairs: Socket[] = [];
    const at = await this.application((near) => {
      const far = connect({ host: to.ip, port: to.port });
      far.on('error', () => near.destroy());
      this.#sockets.push(far);
      pairs.push(near, far);
      near.pipe(far);
      far.pipe(near);
    });
    return {
      at,
      silence() {
        for (const socket of pairs) socket.unpipe().pause();
      },
      cut() {
        for (const socket of pairs.splice(0)) socket.destroy();
      },
    };
  }

  /** Passes connections on to `to`, whose answers take their time: 64 KiB in 5 ms, the rest waits where it is. */
  async slowLink(to: SocketAddress): Promise<SocketAddress> {
    return this.application((near) => {
      const far = connect({ host: to.ip, port: to.port, allowHalfOpen: true });
      this.#sockets.push(far);
      near.pipe(far);
      far.on('error', () => near.destroy());
      far.on('end', () => near.end());
      far.on('data', (piece) => {
        near.write(piece);
        far.pause();
        setTimeout(() => far.resume(), 5);
      });
    });
  }

  /** An address where nobody listens. */
  async closedPort(): Promise<SocketAddress> {
    const at = await this.application(() => {});
    const server = this.#servers.pop();
    await new Promise((closed) => server?.close(closed));
    return at;
  }

  /** An application that dials and was captured: a connection to the pod's capture port, perhaps reset already. */
  async dial(to: SocketAddress): Promise<Socket> {
    const socket = connect({ host: to.ip, port: to.port, allowHalfOpen: true, noDelay: true });
    this.#sockets.push(socket);
    await new Promise<void>((done) => {
      socket.on('error', () => done());
      socket.on('connect', done);
    });
    return socket;
  }

  /** Through the tunnel to `server`, for the application at `target`. */
  hboneRoute(
    server: RigPod,
    target: SocketAddress,
    expected: readonly SpiffeId[] = [server.pod.identity],
  ): HboneRoute {
    return {
      type: 'hbone',
      via: server.hbone,
      target,
      expectedIdentities: expected,
      headers: [['baggage', 'k8s.namespace.name=test']],
    };
  }

  /** Waits until `count` connections were finished (both ends of a tunnelled one count), and returns all that was told. */
  async finished(count: number): Promise<readonly Told[]> {
    await until(() => this.told.filter((told) => told.finished.length > 0).length >= count);
    return this.told;
  }

  async close(): Promise<void> {
    for (const engine of [this.a, this.b]) engine.destroy(new MeshError('DRAINING', 'the test is over'));
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(this.#servers.map((server) => new Promise((closed) => server.close(closed))));
  }

  async #listen(ip: string): Promise<{ fd: Fd; at: SocketAddress }> {
    const fd = await this.#native.createSocket({
      netns: null,
      family: 4,
      bindIp: ip,
      bindPort: 0,
      transparent: false,
      mark: 0,
      backlog: 1024,
      dualStack: false,
    });
    const { port } = this.#native.socketName(fd);
    return { fd, at: { ip: parseIp(ip), port: parsePort(port) } };
  }

  async #credentialsOf(identity: SpiffeId, signal: AbortSignal): Promise<Credentials> {
    const pending = this.pending.get(identity);
    if (pending !== undefined) await Promise.race([pending, aborted(signal)]);
    const found = this.credentials.get(identity);
    if (found === undefined) throw new MeshError('CERTIFICATE_UNAVAILABLE', `none for ${identity}`);
    return found;
  }

  #decide(arrival: Arrival): Decision | Promise<Decision> {
    const told: Told = { arrival, failedRoutes: [], slowRoutes: [], established: undefined, finished: [] };
    this.told.push(told);
    const observer: ConnectionObserver = {
      established: (route, live) => {
        told.established = { route, counts: () => live.counts(), close: (error) => live.close(error) };
      },
      routeFailed: (_route, failure) => told.failedRoutes.push(failure),
      routeSlow: (route) => told.slowRoutes.push(route),
      finished: (outcome) => told.finished.push(outcome),
    };
    return this.decide?.(arrival, observer) ?? this.forward(arrival, observer);
  }

  /** The rig's own decision: outbound by `routes`, plaintext and HBONE to where they say. */
  forward(arrival: Arrival, observer: ConnectionObserver): Decision {
    if (arrival.type === 'outbound') return { type: 'forward', routes: this.routes, observer };
    const target = arrival.type === 'hbone' ? parseSocketAddress(arrival.authority) : arrival.local;
    return { type: 'forward', routes: [{ type: 'direct', target, source: undefined }], observer };
  }
}

/** Polls until it holds; the test's own time limit is the deadline. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** Waits until a counter has stood still for a while. */
export async function quiet(counter: () => number): Promise<void> {
  let before = -1;
  while (counter() !== before || before === 0) {
    before = counter();
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

/** Everything the remote sends until it half-closes; rejects when it resets. */
export async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** How a connection ended for an application: in order, or with a reset. */
export function ending(socket: Socket): Promise<'ended' | 'reset'> {
  return new Promise((resolve) => {
    if (socket.errored !== null) resolve('reset');
    socket.on('error', () => resolve('reset'));
    socket.on('end', () => resolve('ended'));
    socket.resume();
  });
}

/** Sends `text` and returns the next chunk that comes back. */
export async function echo(socket: Socket, text: string): Promise<string> {
  socket.write(text);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  return String(answer);
}

const aborted = async (signal: AbortSignal): Promise<never> => {
  if (!signal.aborted) await once(signal, 'abort');
  throw signal.reason as Error;
};
