/**
 * The admin API on a unix socket. Only root may ask: the socket is mode 0600 in a directory of mode 0700, and the
 * kernel's word on who connected (SO_PEERCRED) is checked for every connection on top, since modes can be changed by
 * accident and a socket can be passed on. Who may not ask gets an answer that says so, and nothing else.
 */
import { chmod, lstat, mkdir, unlink } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { asMeshError, MeshError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { AdminApi } from './admin-api.ts';
import { type AdminIdentity, adminRouter, errorAnswer } from './admin-routes.ts';
import { type Answer, type RunningServer, startHttpServer } from './http-server.ts';

export interface AdminServerDeps {
  readonly api: AdminApi;
  readonly identity: AdminIdentity;
  readonly log: Logger;
  /** SO_PEERCRED of a connected unix socket. */
  readonly peerCredentials: (fd: number) => { readonly pid: number; readonly uid: number };
}

const maxBodyBytes = 4096;

/** @throws MeshError ALREADY_EXISTS when a live process serves `path`; UNAVAILABLE when it cannot be bound. */
export async function startAdminServer(deps: AdminServerDeps, path: string): Promise<RunningServer> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await chmod(dirname(path), 0o700);
  await removeStaleSocket(path);
  const refusals = new WeakMap<Socket, MeshError>();
  const route = adminRouter(deps.api, deps.identity);
  const server = await startHttpServer({
    listen: { path },
    log: deps.log,
    onConnection: (socket) => checkPeer(deps, socket, refusals),
    answer: async (request) => {
      const refusal = refusals.get(request.socket);
      if (refusal !== undefined) return asJson(errorAnswer(deps.identity, refusal));
      const { method = 'GET', url = '/' } = request;
      return asJson(await route({ method, target: url, body: () => readBody(request) }));
    },
  });
  await chmod(path, 0o600);
  return server;
}

function checkPeer(deps: AdminServerDeps, socket: Socket, refusals: WeakMap<Socket, MeshError>): void {
  try {
    const { pid, uid } = deps.peerCredentials(descriptorOf(socket));
    if (uid === 0) return;
    deps.log.warn({ pid, uid }, 'refused a process that is not root on the admin socket');
    refusals.set(socket, notRoot(`you are user ${uid}`));
  } catch (thrown) {
    const error = asMeshError(thrown);
    deps.log.warn({ error }, 'refused a process on the admin socket: cannot tell who it is');
    refusals.set(socket, notRoot(`the kernel did not say who you are (${error.message})`));
  }
}

const notRoot = (why: string): MeshError =>
  new MeshError('PERMISSION', `only root may use the admin socket; ${why}`, {
    hint: 'run the command with sudo',
  });

/** Node has no public way to the descriptor of a socket; the handle behind it has had this property since 0.10. */
function descriptorOf(socket: Socket): number {
  const { _handle: handle } = socket as unknown as { readonly _handle?: { readonly fd?: number } | null };
  const fd = handle?.fd ?? -1;
  if (fd < 0) throw new MeshError('INTERNAL', 'the socket has no descriptor');
  return fd;
}

/** Reads to the end in any case, so that whoever sent too much still gets an answer. */
async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size <= maxBodyBytes) chunks.push(chunk);
  }
  if (size > maxBodyBytes) throw new MeshError('INVALID_ARGUMENT', `a body may have ${maxBodyBytes} bytes`);
  return Buffer.concat(chunks).toString('utf8');
}

const asJson = ({ status, document }: { readonly status: number; readonly document: object }): Answer => ({
  status,
  contentType: 'application/json',
  body: `${JSON.stringify(document)}\n`,
});

/** A socket file outlives its process. It is removed only when it is a socket and nobody answers on it. */
async function removeStaleSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket() || (await answers(path))) {
    throw new MeshError('ALREADY_EXISTS', `${path} is in use`, {
      hint: 'another node process of this node is running; stop it first',
    });
  }
  await unlink(path);
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
