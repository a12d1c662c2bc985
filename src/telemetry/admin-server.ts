/**
 * The admin API on a unix socket. Only root may ask (`root-socket.ts`); who may not gets an answer that says so, and
 * nothing else.
 */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { asMeshError, MeshError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { type AdminApi, maxAdminBodyBytes } from './admin-api.ts';
import { type AdminIdentity, adminRouter, errorAnswer } from './admin-routes.ts';
import { type PeerCredentials, prepareSocketPath, protectSocket, rootPeer } from './root-socket.ts';
import { type Answer, type RunningServer, startHttpServer } from './http-server.ts';

export interface AdminServerDeps {
  readonly api: AdminApi;
  readonly identity: AdminIdentity;
  readonly log: Logger;
  readonly peerCredentials: PeerCredentials;
}

/** @throws MeshError ALREADY_EXISTS when a live process serves `path`; UNAVAILABLE when it cannot be bound. */
export async function startAdminServer(deps: AdminServerDeps, path: string): Promise<RunningServer> {
  await prepareSocketPath(path);
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
  await protectSocket(path);
  return server;
}

function checkPeer(deps: AdminServerDeps, socket: Socket, refusals: WeakMap<Socket, MeshError>): void {
  try {
    rootPeer(socket, deps.peerCredentials);
  } catch (thrown) {
    const error = asMeshError(thrown);
    deps.log.warn({ ...error.details }, `refused a process on the admin socket: ${error.message}`);
    refusals.set(socket, error);
  }
}

/** Reads to the end in any case, so that whoever sent too much still gets an answer. */
async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size <= maxAdminBodyBytes) chunks.push(chunk);
  }
  if (size > maxAdminBodyBytes)
    throw new MeshError('INVALID_ARGUMENT', `a body may have ${maxAdminBodyBytes} bytes`);
  return Buffer.concat(chunks).toString('utf8');
}

const asJson = ({ status, document }: { readonly status: number; readonly document: object }): Answer => ({
  status,
  contentType: 'application/json',
  body: `${JSON.stringify(document)}\n`,
});
