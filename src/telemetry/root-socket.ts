/**
 * Unix sockets that only root may use: mode 0600 in a directory of mode 0700, and the kernel's word on who connected
 * (SO_PEERCRED) on top, since modes can be changed by accident and a socket can be passed on.
 */
import { chmod, lstat, mkdir, unlink } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { asMeshError, MeshError } from '../base/errors.ts';

/** SO_PEERCRED of a connected unix socket. */
export type PeerCredentials = (fd: number) => { readonly pid: number; readonly uid: number };

/**
 * Makes room for a socket at `path`. Its file outlives its process: it is removed only when it is a socket and nobody
 * answers on it.
 * @throws MeshError ALREADY_EXISTS when a live process serves `path`
 */
export async function prepareSocketPath(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await chmod(dirname(path), 0o700);
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket() || (await answers(path))) {
    throw new MeshError('ALREADY_EXISTS', `${path} is in use`, {
      hint: 'another node process of this node is running; stop it first',
    });
  }
  await unlink(path);
}

/** Once it listens. */
export const protectSocket = (path: string): Promise<void> => chmod(path, 0o600);

/** The process at the other end. @throws MeshError PERMISSION unless it is root's */
export function rootPeer(socket: Socket, peerCredentials: PeerCredentials): { readonly pid: number } {
  const { pid, uid } = credentialsOf(socket, peerCredentials);
  if (uid === 0) return { pid };
  throw notRoot(`you are user ${uid}`, { pid, uid });
}

function credentialsOf(socket: Socket, peerCredentials: PeerCredentials): ReturnType<PeerCredentials> {
  try {
    return peerCredentials(descriptorOf(socket));
  } catch (thrown) {
    throw notRoot(`the kernel did not say who you are (${asMeshError(thrown).message})`);
  }
}

const notRoot = (why: string, details: Readonly<Record<string, number>> = {}): MeshError =>
  new MeshError('PERMISSION', `only root may use this socket; ${why}`, {
    hint: 'run the command with sudo',
    details,
  });

/** Node has no public way to the descriptor of a socket; the handle behind it has had this property since 0.10. */
function descriptorOf(socket: Socket): number {
  const { _handle: handle } = socket as unknown as { readonly _handle?: { readonly fd?: number } | null };
  const fd = handle?.fd ?? -1;
  if (fd < 0) throw new MeshError('INTERNAL', 'the socket has no descriptor');
  return fd;
}

async function answers(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(path);
  socket.once('connect', () => resolve(true));
  socket.once('error', () => resolve(false));
  const answered = await promise;
  socket.destroy();
  return answered;
}
