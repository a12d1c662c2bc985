import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adminRequest } from '../../../src/cli/admin-client.ts';

let directory: string;
let server: Server | undefined;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mesh-cli-'));
});

afterEach(async () => {
  server?.closeAllConnections();
  server?.close();
  await rm(directory, { recursive: true });
});

async function serve(answer: Parameters<typeof createServer>[1]): Promise<string> {
  const path = join(directory, 'admin.sock');
  const { promise, resolve } = Promise.withResolvers<void>();
  server = createServer(answer).listen(path, resolve);
  await promise;
  return path;
}

const get = (signal: AbortSignal = new AbortController().signal) =>
  ({ method: 'GET', target: '/v1/status', signal }) as const;

describe('a request to a node', () => {
  it('brings back status and document, and sends a body', async () => {
    const path = await serve((request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString()));
      request.on('end', () =>
        response.writeHead(418).end(JSON.stringify({ method: request.method, url: request.url, body })),
      );
    });
    const { signal } = new AbortController();
    expect(await adminRequest(path, { method: 'PUT', target: '/v1/log-level', body: '{}', signal })).toEqual({
      status: 418,
      document: { method: 'PUT', url: '/v1/log-level', body: '{}' },
    });
  });

  it('says that no node runs when there is no socket', async () => {
    const missing = join(directory, 'none.sock');
    await expect(adminRequest(missing, get())).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: `no node process runs: ${missing} does not exist`,
    });
  });

  it('says that the node died when nobody listens on its socket', async () => {
    const path = join(directory, 'stale.sock');
    await writeFile(path, '');
    await expect(adminRequest(path, get())).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('died'),
    });
  });

  it('gives up after the time-out, and says how to wait longer', async () => {
    const path = await serve(() => {});
    await expect(adminRequest(path, get(AbortSignal.timeout(1)))).rejects.toMatchObject({
      code: 'TIMEOUT',
      hint: expect.stringContaining('--timeout'),
    });
  });

  it('tells an interruption by the person from a time-out', async () => {
    const path = await serve(() => {});
    await expect(adminRequest(path, get(AbortSignal.abort()))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('says so when the answer is not JSON', async () => {
    const path = await serve((_request, response) => response.end('<html>'));
    await expect(adminRequest(path, get())).rejects.toMatchObject({
      message: expect.stringContaining('did not answer properly'),
    });
  });
});
