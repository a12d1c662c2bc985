/**
 * Proves that a pod is captured, by what happens and not by what the maps say. From inside the pod's network namespace
 *
 *   out   a connection to an address nobody has must arrive at ztunnel's listener, with the port it dialled in the
 *         kernel's record: only the connect hook, the record and the pod's own sk_lookup can bring it there. The port
 *         is drawn for each proof, so that no other connection is taken for it.
 *   in    a connection straight to the capture port, where as was just seen somebody listens, must be refused: only
 *         the pod's own sk_lookup does that.
 */
import { closeSync } from 'node:fs';
import { Socket, type SocketConstructorOpts } from 'node:net';
import type { Clock } from '../base/clock.ts';
import { MeshError } from '../base/errors.ts';
import { type IpAddress, isIpv4, type Port, type SocketAddress } from '../base/ip.ts';
import { outboundPort } from '../base/ports.ts';
import { probeIpv4, probeIpv6 } from '../base/probe-address.ts';
import type { WorkloadUid } from '../model/mesh.ts';
import type { NativeBinding } from '../native/binding.ts';

export interface ProbedPod {
  readonly uid: WorkloadUid;
  readonly netns: string;
  readonly addresses: readonly IpAddress[];
}

export interface CaptureProbeDeps {
  readonly native: Pick<NativeBinding, 'createSocket'>;
  readonly clock: Clock;
}

/**
 * Both ends are in one namespace: what takes longer than this does not arrive. A machine so busy that it does is asked
 * again before anybody is told.
 */
const patienceMs = 2_000;
const lowestPort = 1024;

export class CaptureProbe {
  readonly #deps: CaptureProbeDeps;
  /** By the port that was drawn: whose proof waits, and what ends the wait. */
  readonly #awaited = new Map<Port, { readonly uid: WorkloadUid; readonly arrived: () => void }>();

  constructor(deps: CaptureProbeDeps) {
    this.#deps = deps;
  }

  /** For ztunnel: a connection to a probe address, accepted for this pod. False if nobody waits for it. */
  arrived(uid: WorkloadUid, port: Port): boolean {
    const awaited = this.#awaited.get(port);
    if (awaited?.uid !== uid) return false;
    awaited.arrived();
    return true;
  }

  /** Of every address family the pod has. @throws MeshError NETNS saying what is not captured */
  async prove(pod: ProbedPod): Promise<void> {
    const ofEach = [pod.addresses.find(isIpv4), pod.addresses.find((ip) => !isIpv4(ip))];
    for (const own of ofEach.filter((ip) => ip !== undefined)) {
      await this.#proveOut(pod, own);
      await this.#proveIn(pod, own);
    }
  }

  async #proveOut(pod: ProbedPod, own: IpAddress): Promise<void> {
    const port = this.#drawPort();
    const { promise, resolve } = Promise.withResolvers<'arrived'>();
    this.#awaited.set(port, { uid: pod.uid, arrived: () => resolve('arrived') });
    const target = { ip: isIpv4(own) ? probeIpv4 : probeIpv6, port };
    const dial = await this.#dial(pod.netns, target);
    try {
      // Who connected has not arrived yet: the connection waits to be accepted.
      const failed = dial.outcome.then((result) => (result === 'connected' ? promise : result));
      const result = await this.#inTime(Promise.race([promise, failed]));
      if (result !== 'arrived') throw notCaptured(pod, `what it dials is not captured (${result})`);
    } finally {
      this.#awaited.delete(port);
      dial.end();
    }
  }

  async #proveIn(pod: ProbedPod, own: IpAddress): Promise<void> {
    const dial = await this.#dial(pod.netns, { ip: own, port: outboundPort });
    try {
      const result = await this.#inTime(dial.outcome);
      if (result !== 'ECONNREFUSED')
        throw notCaptured(pod, `what arrives for it is not captured (${result})`);
    } finally {
      dial.end();
    }
  }

  #drawPort(): Port {
    for (;;) {
      const port = (lowestPort + Math.floor(this.#deps.clock.random() * (65_536 - lowestPort))) as Port;
      if (!this.#awaited.has(port)) return port;
    }
  }

  async #inTime<T>(result: Promise<T>): Promise<T | 'no answer'> {
    const late = Promise.withResolvers<'no answer'>();
    const cancel = this.#deps.clock.after(patienceMs, () => late.resolve('no answer'));
    try {
      return await Promise.race([result, late.promise]);
    } finally {
      cancel();
    }
  }

  /** @throws NativeError when the namespace cannot be entered */
  async #dial(netns: string, target: SocketAddress): Promise<Dial> {
    const family = isIpv4(target.ip) ? 4 : 6;
    const spec = {
      netns,
      family,
      bindIp: null,
      bindPort: 0,
      transparent: false,
      mark: 0,
      backlog: 0,
    } as const;
    const fd = await this.#deps.native.createSocket({ ...spec, dualStack: false });
    return connectSocket(fd, target);
  }
}

interface Dial {
  /** `connected`, or the code of the error. */
  readonly outcome: Promise<string>;
  readonly end: () => void;
}

function connectSocket(fd: number, { ip, port }: SocketAddress): Dial {
  let socket: Socket;
  try {
    socket = new Socket({ fd, manualStart: true } as SocketConstructorOpts);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  const outcome = new Promise<string>((resolve) => {
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.connect({ host: ip, port }, () => resolve('connected'));
  });
  return { outcome, end: () => void socket.destroy() };
}

const notCaptured = ({ uid }: ProbedPod, what: string): MeshError =>
  new MeshError('NETNS', `pod ${uid} is enrolled, but ${what}`, {
    hint: 'mesh-ebpf doctor and mesh-ebpf programs show what is attached; deleting the pod enrols its successor anew',
    details: { uid },
  });
