/**
 * TCP connections from inside a pod's network namespace. The namespace matters only when a socket is born, so the
 * addon makes it there and Node binds and connects it.
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
export type SocketFactory = Pick<NativeBinding, 'createSocket' | 'socketError'>;

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
  async dial(pod: EnginePod, route: Omit<DirectRoute, 'type'>, wanted: Wanted): Promise<Socket> {
    const source = usableSource(route);
    const family = isIpv4(route.target.ip) ? 4 : 6;
    const fd = await (source === undefined
      ? this.#deps.sockets.createSocket(specFor(pod, family, false))
      : this.#stockOf(pod, family).take());
    if (wanted.endedBy !== undefined) {
      closeSync(fd);
      throw wanted.endedBy;
    }
    const socket = adopt(fd);
    const connected = this.#connected(socket, { ...route, source }, wanted);
    // Connecting starts in the next tick, and from then on the kernel knows our end: well before it can be accepted.
    process.nextTick(() => this.#remember(pod, socket, route.target));
    return connected;
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
      make: () => sockets.createSocket(specFor(pod, family, true)),
      clock,
    });
    return stocks[family];
  }

  #connected(socket: Socket, { target, source }: Omit<DirectRoute, 'type'>, wanted: Wanted): Promise<Socket> {
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
      const from = source === undefined ? {} : { localAddress: source };
      socket.connect({ host: target.ip, port: target.port, ...from }, () => {
        settle();
        resolve(socket);
      });
    });
  }

  #remember(pod: EnginePod, socket: Socket, target: SocketAddress): void {
    const { localAddress, localPort } = socket;
    if (localAddress === undefined || localPort === undefined || localPort === 0) return;
    const from = { ip: parseIp(localAddress), port: parsePort(localPort) };
    socket.on('close', this.#deps.ownDials.add(pod.uid, from, target));
  }
}

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
function usableSource({ source, target }: Omit<DirectRoute, 'type'>): DirectRoute['source'] {
  if (source === undefined || source === target.ip) return undefined;
  return isIpv4(source) === isIpv4(target.ip) ? source : undefined;
}

/** Node sets them once the socket is connected. */
const socketOptions = {
  allowHalfOpen: true,
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: keepaliveDelayMs,
} as const;

function adopt(fd: Fd): Socket {
  try {
    // Without manualStart (in Node since 0.12, missing in its types) it would read before it is connected, and fail.
    return new Socket({ ...socketOptions, fd, manualStart: true } as SocketConstructorOpts);
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

function dialFailure(error: Error, target: SocketAddress): MeshError {
  if (error instanceof MeshError) return error;
  const reason = (error as NodeJS.ErrnoException).code ?? error.message;
  return new MeshError('DIAL_FAILED', `could not connect to ${formatSocketAddress(target)}: ${reason}`, {
    hint: hints[reason] ?? 'is the destination up, and does a NetworkPolicy let this through?',
    cause: error,
  });
}
