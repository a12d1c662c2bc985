/**
 * The agent's end of the CNI plugin's socket. One request a connection: read up to the plugin's end of it, answered,
 * closed. A plugin that sends too much, too slowly or nonsense costs itself a connection and nobody else anything.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { asMeshError, MeshError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import {
  type PeerCredentials,
  prepareSocketPath,
  protectSocket,
  rootPeer,
} from '../../telemetry/root-socket.ts';
import type { CniAdmission } from './admission.ts';
import { podAddresses } from './pod-addresses.ts';
import { type CniAnswer, type CniRequest, errorAnswer, parseRequest, podOf } from './protocol.ts';

export interface CniServerDeps {
  readonly admission: Pick<CniAdmission, 'add' | 'check' | 'remove' | 'retain'>;
  readonly peerCredentials: PeerCredentials;
  readonly log: Logger;
}

const limits = {
  /** A network configuration with the results of all plugins before ours. */
  requestBytes: 2 << 20,
  requestTimeoutMs: 5_000,
  maxConnections: 512,
};

/** @throws MeshError ALREADY_EXISTS when a live process serves `path`; UNAVAILABLE when it cannot be bound. */
export async function startCniServer(deps: CniServerDeps, path: string): Promise<{ close(): Promise<void> }> {
  await prepareSocketPath(path);
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    void serve(deps, socket);
  });
  server.maxConnections = limits.maxConnections;
  await listen(server, path);
  await protectSocket(path);
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

async function listen(server: Server, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen({ path }, resolve);
  try {
    await promise;
  } catch (cause) {
    throw new MeshError('UNAVAILABLE', `cannot listen on ${path}: ${asMeshError(cause).message}`, { cause });
  }
  server.off('error', reject);
}

async function serve(deps: CniServerDeps, socket: Socket): Promise<void> {
  // The plugin may go away at any time: its runtime's deadline is not ours.
  socket.on('error', () => socket.destroy());
  socket.setTimeout(limits.requestTimeoutMs, () => socket.destroy());
  const answer = await answerTo(deps, socket).catch((thrown: unknown) => {
    const error = asMeshError(thrown);
    deps.log.warn(
      { code: error.code, error: error.message, hint: error.hint },
      'refused a request of the CNI plugin',
    );
    return errorAnswer(error);
  });
  socket.end(JSON.stringify(answer));
}

async function answerTo({ admission, peerCredentials }: CniServerDeps, socket: Socket): Promise<CniAnswer> {
  const { pid } = rootPeer(socket, peerCredentials);
  const request = parseRequest(await readAll(socket));
  socket.setTimeout(0);
  switch (request.command) {
    case 'ADD': {
      const netns = `/proc/${pid}/fd/${request.netnsFd}`;
      const addresses = podAddresses(request.config.prevResult);
      await admission.add({ pod: podOf(request), containerId: request.containerId, netns, addresses });
      break;
    }
    case 'CHECK':
      await admission.check({ pod: podOf(request) });
      break;
    case 'DEL':
      admission.remove(request.containerId);
      break;
    case 'GC':
      admission.retain(validContainers(request));
  }
  return { ok: true };
}

/** @throws MeshError INVALID_ARGUMENT: without the list everything would be removed. */
function validContainers({ config }: CniRequest): ReadonlySet<string> {
  const attachments = config['cni.dev/valid-attachments'];
  if (attachments === undefined) {
    throw new MeshError('INVALID_ARGUMENT', 'GC came without cni.dev/valid-attachments');
  }
  return new Set(attachments.map(({ containerID }) => containerID));
}

async function readAll(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  // Not `for await` on the socket, which would destroy it at the end of what the plugin says.
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.on('data', (chunk) => {
    size += chunk.length;
    chunks.push(chunk);
    if (size > limits.requestBytes) reject(new MeshError('INVALID_ARGUMENT', 'the CNI request is too large'));
  });
  socket.once('end', resolve);
  socket.once('close', () => reject(new MeshError('PEER_GONE', 'the CNI plugin went away')));
  await promise.finally(() => socket.removeAllListeners('data').resume());
  return Buffer.concat(chunks).toString('utf8');
}
