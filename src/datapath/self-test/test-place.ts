/** A network namespace of the test's own, in which every address is local, and listeners that say who got a connection. */
import { createServer, type Server, Socket } from 'node:net';
import { plaintextPort, outboundPort } from '../../base/ports.ts';
import type { Fd, NativeBinding } from '../../native/binding.ts';
import { isNativeError } from '../../native/errors.ts';

/** Within the host all is there at once, unless it is very busy; no test waits for this to pass. */
const patienceMs = 5000;
export const applicationPort = 8080;

const listeners = { captured: outboundPort, plaintext: plaintextPort, application: applicationPort };

const socketSpec = { bindIp: null, transparent: true, mark: 0 } as const;

export class TestPlace {
  readonly netns: string;
  /** Of the listener that plaintext goes to. */
  readonly plaintextListener: Fd;
  readonly #native: NativeBinding;
  readonly #fd: Fd;
  readonly #servers: readonly Server[];

  private constructor(native: NativeBinding, fd: Fd, plaintext: Fd, servers: readonly Server[]) {
    this.#native = native;
    this.#fd = fd;
    this.netns = pathOf(fd);
    this.plaintextListener = plaintext;
    this.#servers = servers;
  }

  static async make(native: NativeBinding): Promise<TestPlace> {
    const fd = await native.createLoopbackNetns();
    const servers: Server[] = [];
    let plaintext = fd;
    try {
      for (const [name, bindPort] of Object.entries(listeners)) {
        const listener = await listen(native, pathOf(fd), bindPort);
        if (bindPort === plaintextPort) plaintext = listener;
        servers.push(await serve(listener, name));
      }
    } catch (thrown) {
      await closeAll(native, fd, servers);
      throw thrown;
    }
    return new TestPlace(native, fd, plaintext, servers);
  }

  /** Who got the connection, and from where it seems to come to itself; or the error's name. */
  async dial(from: string, to: string, port: number): Promise<string> {
    const family = from.includes(':') ? 6 : 4;
    const spec = { ...socketSpec, family, netns: this.netns, bindIp: from, bindPort: 0, backlog: 0 } as const;
    let fd: Fd | undefined;
    try {
      fd = await this.#native.createSocket({ ...spec, dualStack: false });
      this.#native.connectSocket(fd, null, to, port);
    } catch (thrown) {
      if (fd !== undefined) this.#native.closeFd(fd);
      if (isNativeError(thrown)) return thrown.code;
      throw thrown;
    }
    return await answerOn(fd, to);
  }

  close(): Promise<void> {
    return closeAll(this.#native, this.#fd, this.#servers);
  }
}

async function closeAll(native: NativeBinding, netns: Fd, servers: readonly Server[]): Promise<void> {
  await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))));
  native.closeFd(netns);
}

/** A kernel may be without IPv6. */
function listen(native: NativeBinding, netns: string, bindPort: number): Promise<Fd> {
  const spec = { ...socketSpec, netns, bindPort, backlog: 16 };
  return native
    .createSocket({ ...spec, family: 6, dualStack: true })
    .catch(() => native.createSocket({ ...spec, family: 4, dualStack: false }));
}

const pathOf = (fd: Fd): string => `/proc/self/fd/${fd}`;

function serve(fd: Fd, name: string): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.end(name);
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject).listen({ fd }, () => resolve(server));
  });
}

/** Node closes the descriptor. */
function answerOn(fd: Fd, dialled: string): Promise<string> {
  const socket = new Socket({ fd, readable: true, writable: true });
  const peer = socket.remoteAddress;
  return new Promise((resolve) => {
    let text = '';
    const done = (outcome: string): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(outcome);
    };
    const timer = setTimeout(() => done('no answer'), patienceMs);
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    socket.on('end', () => done(peer === dialled ? text : `${text} at ${peer}`));
    socket.on('error', () => done('reset'));
  });
}
