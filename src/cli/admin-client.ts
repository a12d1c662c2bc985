/** One HTTP request over a node's unix socket, with failures told in the words of whoever typed the command. */
import { request as httpRequest } from 'node:http';
import { asMeshError, MeshError } from '../base/errors.ts';
import { abortError } from './abort-error.ts';
import type { AdminRequest, AdminResponse } from './env.ts';
import { maxAnswerBytes } from './inspect/protocol.ts';

export async function adminRequest(socket: string, request: AdminRequest): Promise<AdminResponse> {
  try {
    const { status, text } = await exchange(socket, request);
    return { status, document: JSON.parse(text) };
  } catch (thrown) {
    throw explain(socket, thrown, request.signal);
  }
}

async function exchange(
  socketPath: string,
  { method, target, body, signal }: AdminRequest,
): Promise<{ readonly status: number; readonly text: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
  const request = httpRequest({ socketPath, method, path: target, signal, agent: false }, (response) => {
    const chunks: Buffer[] = [];
    let size = 0;
    response.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > maxAnswerBytes) response.destroy(new Error(`more than ${maxAnswerBytes} bytes`));
      chunks.push(chunk);
    });
    response.on('end', () =>
      resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
    );
    response.on('error', reject);
  });
  request.on('error', reject);
  request.end(body);
  return await promise;
}

function explain(socket: string, cause: unknown, signal: AbortSignal): MeshError {
  switch (codeOf(cause)) {
    case 'ENOENT':
      return new MeshError('UNAVAILABLE', `no node process runs: ${socket} does not exist`, { cause });
    case 'ECONNREFUSED':
      return new MeshError('UNAVAILABLE', `nobody listens on ${socket}: the node process died`, {
        cause,
        hint: 'look into its log; captured pods stay captured meanwhile',
      });
    case 'EACCES':
    case 'EPERM':
      return new MeshError('PERMISSION', `may not open ${socket}`, {
        cause,
        hint: 'run the command with sudo',
      });
    case 'ABORT_ERR':
      return abortError(`the node at ${socket}`, signal, cause);
    default:
      return asMeshError(cause, 'UNAVAILABLE', `the node at ${socket} did not answer properly`);
  }
}

const codeOf = (thrown: unknown): unknown =>
  typeof thrown === 'object' && thrown !== null && 'code' in thrown ? thrown.code : undefined;
