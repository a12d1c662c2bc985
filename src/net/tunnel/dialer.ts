/**
 * TCP connections from inside a pod's network namespace. The namespace matters only when a socket is born: the addon makes
 * it there. It binds and connects it as well: a connection to an application of this host stands, or is refused, as soon as
 * it was asked for, and Node would go round the event loop to learn that.
 */
import { closeSync } from 'node:fs';
import { Socket, type SocketConstructorOpts } from 'node:net';
import type { Clock } from '../../base/clock.ts';
import { asMeshError, MeshError } from '../../base/errors.ts';
import { formatSocketAddress, isIpv4, parseIp, parsePort, type SocketAddress } from '../../base/ip.ts';
import type { WorkloadUid } from '../../model/mesh.ts';
import type { DirectRoute, EnginePod } from '../engine.ts';
import type { Fd, NativeBinding, SocketSpec } from '../../native/binding.ts';
import type { Wanted } from './ending.ts';
import { keepaliveDelayMs } from './options.ts';
import type { OwnDials } from './own-dials.ts';
import { SocketStock } from './socket-stock.ts';

/** The only things the engine needs of the addon. */
export type SocketFactory = Pick<
  NativeBinding,
  'createSocket' | 'createSockets' | 'tuneSocket' | 'connectSocket' | 'socketError'
>;

/** SO_MARK of sockets that carry a client's address: routes the replies back to this host (see `bpf/README.md`). */
export const sourceMark = 0x53a;

export interface DialerDeps {
  readonly sockets: SocketFactory;
  readonly clock: Clock;
  readonly ownDials: OwnDials;
}

export class Dialer {
  readonly #deps: DialerDeps;
  readonly #timeoutMs: number;
  /** By pod and address family: sockets that can carry a client's address, as every connection to an application does. */
  readonly #stocks = new Map<WorkloadUid, Partial<Record<4 | 6, SocketStock>>>();

  constructor(deps: DialerDeps, options: { readonly timeoutMs: number }) {
    this.#deps = deps;
    this.#timeoutMs = options.timeoutMs;
  }

  /**
   * A connected socket, paused, that may be half-closed; it belongs to the caller.
   * @throws MeshError DIAL_FAILED, SYSCALL or NETNS
   */
  async dial(pod: EnginePod, route: Way, wanted: Wanted): Promise<Socket> {
    const fd = await this.#socketFor(pod, route);
    if (wanted.endedBy !== undefined) {
      closeSync(fd);
      throw wanted.endedBy;
    }
    const { local, connected } = this.#begin(fd, route);
    const socket = adopt(fd);
    socket.on('close', this.#deps.ownDials.add(pod.uid, local, route.target));
    return connected ? socket : await this.#connected(socket, route.target, wanted);
  }

  /** Nothing of the pod is kept: its namespace may go, and another take its place. */
  forget(pod: WorkloadUid): void {
    const { 4: ipv4, 6: ipv6 } = this.#stocks.get(pod) ?? {};
    ipv4?.close();
    ipv6?.close();
    this.#stocks.delete(pod);
  }

  #stockOf(pod: EnginePod, family: 4 | 6): SocketStock {
    const { sockets, clock } = this.#deps;
    const stocks = this.#stocks.get(pod.uid) ?? {};
    this.#stocks.set(pod.uid, stocks);
    stocks[family] ??= new SocketStock({
      make: (count) => sockets.createSockets(specFor(pod, family, true), count),
      clock,
    });
    return stocks[family];
  }

  #socketFor(pod: EnginePod, route: Way): Promise<Fd> {
    const family = isIpv4(route.target.ip) ? 4 : 6;
    return usableSource(route) === undefined
      ? this.#deps.sockets.createSocket(specFor(pod, family, false))
      : this.#stockOf(pod, family).take();
  }

  /** From here on the kernel knows our end: well before it can be accepted. */
  #begin(fd: Fd, route: Way): { local: SocketAddress; connected: boolean } {
    const { sockets } = this.#deps;
    const { target } = route;
    try {
      sockets.tuneSocket(fd, keepaliveDelayMs / 1000);
      const from = usableSource(route) ?? null;
      const { ip, port, connected } = sockets.connectSocket(fd, from, target.ip, target.port);
      return { local: { ip: parseIp(ip), port: parsePort(port) }, connected };
    } catch (error) {
      closeSync(fd);
      throw dialFailure(error, target);
    }
  }

  /** The kernel takes bytes, if only none, when the connection stands. */
  #connected(socket: Socket, target: SocketAddress, wanted: Wanted): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        cancelTimer();
        wanted.forget(failed);
        socket.off('error', failed);
      };
      const failed = (error: Error): void => {
        settle();
        socket.on('error', () => {});
        socket.destroy();
        reject(dialFailure(error, target));
      };
      const cancelTimer = this.#deps.clock.after(this.#timeoutMs, () =>
        failed(new Error(`no answer within ${this.#timeoutMs / 1000} s`)),
      );
      wanted.listen(failed);
      socket.on('error', failed);
      socket.write('', (error) => {
        if (error) return;
        settle();
        resolve(socket);
      });
    });
  }
}

/** Where to, and as whom. */
type Way = Omit<DirectRoute, 'type'>;

const specFor = (pod: EnginePod, family: 4 | 6, carriesSource: boolean): SocketSpec => ({
  netns: pod.netns,
  family,
  bindIp: null,
  bindPort: 0,
  transparent: carriesSource,
  mark: carriesSource ? sourceMark : 0,
  backlog: 0,
  dualStack: false,
});

/** A connection to oneself, or across families, cannot carry the client's address. */
function usableSource({ source, target }: Way): DirectRoute['source'] {
  if (source === undefined || source === target.ip) return undefined;
  return isIpv4(source) === isIpv4(target.ip) ? source : undefined;
}

function adopt(fd: Fd): Socket {
  try {
    // Without manualStart (in Node since 0.12, missing in its types) it would read before anybody wants to.
    return new Socket({ allowHalfOpen: true, fd, manualStart: true } as SocketConstructorOpts);
  } catch (error) {
    closeSync(fd);
    throw asMeshError(error, 'SYSCALL', 'adopting a socket');
  }
}

const hints: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens on that port; is the application ready?',
  EHOSTUNREACH: 'the address does not answer; is the pod gone, or the link down?',
  ENETUNREACH: 'there is no route to that network',
  EADDRNOTAVAIL: 'no free local port for that source address',
};

function dialFailure(error: unknown, target: SocketAddress): MeshError {
  if (error instanceof MeshError) return error;
  const reason = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
  return new MeshError('DIAL_FAILED', `could not connect to ${formatSocketAddress(target)}: ${reason}`, {
    hint: hints[reason] ?? 'is the destination up, and does a NetworkPolicy let this through?',
    cause: error,
  });
}
