import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { chmod, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, request as httpRequest } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../../src/base/log.ts';
import type { AdminApi, LogLevel } from '../../../src/telemetry/admin-api.ts';
import { formatConnectionsQuery, parseConnectionsQuery } from '../../../src/telemetry/admin-query.ts';
import { startAdminServer } from '../../../src/telemetry/admin-server.ts';
import { connectionsBody } from '../../../src/telemetry/connection-items.ts';
import { ConnectionRegistry } from '../../../src/telemetry/connection-registry.ts';
import type { RunningServer } from '../../../src/telemetry/http-server.ts';
import { Metrics } from '../../../src/telemetry/metrics.ts';
import { startMetricsServer, startReadinessServer } from '../../../src/telemetry/node-servers.ts';
import { Readiness } from '../../../src/telemetry/readiness.ts';
import { MeshError } from '../../../src/base/errors.ts';
import { failure, record } from './records.ts';

let directory: string;
let running: RunningServer[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mesh-telemetry-'));
});

afterEach(async () => {
  for (const server of running) await server.close();
  running = [];
  await rm(directory, { recursive: true });
});

interface Reply {
  readonly status: number;
  readonly json: Record<string, unknown>;
}

async function ask(socketPath: string, path: string, method = 'GET', body = ''): Promise<Reply> {
  const { promise, resolve, reject } = Promise.withResolvers<Reply>();
  const request = httpRequest({ socketPath, path, method, agent: false }, (response) => {
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.on('end', () => {
      const json = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>;
      resolve({ status: response.statusCode ?? 0, json });
    });
  });
  request.on('error', reject);
  request.end(body);
  return await promise;
}

function api(overrides: Partial<AdminApi> = {}): AdminApi {
  const registry = new ConnectionRegistry();
  registry.completed(record({ error: failure('POLICY_DENIED', 'policy') }));
  registry.completed(record());
  return {
    status: () => Promise.reject(new MeshError('UNAVAILABLE', 'still starting', { hint: 'wait' })),
    workloads: () => [],
    services: () => [],
    certificates: () => [],
    policies: () => [],
    lint: () => [],
    pairs: () => [],
    rehearse: () => ({ items: [], judged: 0, unjudged: 0, egress: { judged: 0, isChanged: false } }),
    connections: (query) => connectionsBody(registry, query),
    enrolment: (uid) =>
      uid === 'uid-1'
        ? { enrolled: true, workload: 'shop/web-1', since: '2026-11-21T10:00:00.000Z' }
        : { enrolled: false, reason: 'no such pod on this node' },
    explain: () => Promise.reject(new MeshError('NOT_FOUND', 'there is no such pod')),
    configDump: () => ({
      workloads: [],
      services: [],
      policies: [],
      certificates: [],
      workloadState: {},
      version: '1',
    }),
    setLogLevel: () => {},
    ...overrides,
  };
}

async function admin(
  of: AdminApi,
  uid: number | Error = 0,
  path = join(directory, 'node', 'admin.sock'),
): Promise<string> {
  const server = await startAdminServer(
    {
      api: of,
      identity: { node: 'node-a', now: () => Date.parse('2026-11-21T10:00:00Z') },
      log: silentLogger,
      peerCredentials: (fd) => {
        expect(fd).toBeGreaterThan(2);
        if (uid instanceof Error) throw uid;
        return { pid: 42, uid };
      },
    },
    path,
  );
  running.push(server);
  return path;
}

describe('the admin socket', () => {
  it('answers root with a document that names its version, kind and node', async () => {
    expect(await ask(await admin(api()), '/v1/workloads')).toEqual({
      status: 200,
      json: {
        apiVersion: 'mesh-ebpf.io/v1alpha1',
        kind: 'WorkloadList',
        node: 'node-a',
        time: '2026-11-21T10:00:00.000Z',
        items: [],
      },
    });
  });

  it('refuses a process of another user, by the kernel’s word, and says why', async () => {
    const { status, json } = await ask(await admin(api(), 1000), '/v1/workloads');
    expect(status).toBe(403);
    expect(json).toMatchObject({ kind: 'Error', code: 'PERMISSION', hint: expect.stringContaining('sudo') });
    expect(json['message']).toMatch(/only root.*user 1000/);
    expect(json).not.toHaveProperty('items');
  });

  it('refuses a process when the kernel does not say who it is', async () => {
    expect((await ask(await admin(api(), new Error('EBADF')), '/v1/workloads')).status).toBe(403);
  });

  it('is a socket of mode 0600 in a directory of mode 0700, even when that directory was open before', async () => {
    await chmod(directory, 0o777);
    const path = await admin(api(), 0, join(directory, 'admin.sock'));
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
  });

  it('takes over the socket file of a process that died, but not of one that lives', async () => {
    const path = await admin(api());
    await expect(admin(api(), 0, path)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    expect((await ask(path, '/v1/workloads')).status).toBe(200);
  });

  it('does not delete a file that is not a socket', async () => {
    const path = join(directory, 'precious');
    await writeFile(path, 'data');
    await expect(admin(api(), 0, path)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    expect(await readdir(directory)).toEqual(['precious']);
  });

  it('finds connections by the query, and refuses a query it does not understand', async () => {
    const path = await admin(api());
    expect(await ask(path, '/v1/explain?from=shop%2Fweb&to=db.shop')).toMatchObject({
      status: 404,
      json: { code: 'NOT_FOUND' },
    });
    for (const query of ['', 'from=a', 'from=a&to=b&x=y', `from=${'a'.repeat(3000)}&to=b`]) {
      expect((await ask(path, `/v1/explain?${query}`)).status).toBe(400);
    }
    const denied = await ask(path, '/v1/connections?denied=true&limit=5');
    expect(denied.json['recent']).toHaveLength(1);
    for (const query of ['denied=maybe', 'limit=-1', 'limit=ten', 'only=dead', 'colour=red']) {
      const { status, json } = await ask(path, `/v1/connections?${query}`);
      expect([query, status, json['code']]).toEqual([query, 400, 'INVALID_ARGUMENT']);
    }
  });

  it('says whether a pod is enrolled by status code, for a CNI plugin that must wait', async () => {
    const path = await admin(api());
    expect(await ask(path, '/v1/enrolment/uid-1')).toMatchObject({ status: 200, json: { enrolled: true } });
    expect(await ask(path, '/v1/enrolment/uid-2')).toMatchObject({
      status: 404,
      json: { enrolled: false, reason: 'no such pod on this node' },
    });
  });

  it('changes the log level, and names the levels to whoever asks for another', async () => {
    const levels: LogLevel[] = [];
    const path = await admin(api({ setLogLevel: (level) => void levels.push(level) }));
    expect((await ask(path, '/v1/log-level', 'PUT', '{"level":"debug"}')).status).toBe(200);
    for (const body of ['', '{', '{"level":"loud"}', '"debug"', 'x'.repeat(100_000)]) {
      const { status } = await ask(path, '/v1/log-level', 'PUT', body);
      expect(status).toBe(400);
    }
    expect(levels).toEqual(['debug']);
  });

  it('passes on code, message and hint of what went wrong', async () => {
    const path = await admin(api());
    expect(await ask(path, '/v1/status')).toMatchObject({
      status: 503,
      json: { kind: 'Error', code: 'UNAVAILABLE', message: 'still starting', hint: 'wait' },
    });
    expect(await ask(path, '/v1/nothing')).toMatchObject({ status: 404, json: { code: 'NOT_FOUND' } });
    expect((await ask(path, '/v1/workloads', 'DELETE')).status).toBe(404);
  });

  it('serves the dump for istioctl without our envelope', async () => {
    expect((await ask(await admin(api()), '/config_dump')).json).toEqual({
      workloads: [],
      services: [],
      policies: [],
      certificates: [],
      workloadState: {},
      version: '1',
    });
  });
});

describe('the query of connections', () => {
  it('is read back as it was written', () => {
    const query = {
      namespace: 'shop',
      pod: 'web',
      failed: true,
      since: 5,
      after: 7,
      limit: 3,
      only: 'live',
    } as const;
    expect(parseConnectionsQuery(new URLSearchParams(formatConnectionsQuery(query)))).toEqual(query);
  });
});

/** Resolves when `expected` of the sockets were closed by the other side, with their number. */
async function countClosed(sockets: readonly Socket[], expected: number): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  let closed = 0;
  for (const socket of sockets) {
    socket.on('error', () => {});
    socket.on('close', () => {
      closed += 1;
      if (closed === expected) setImmediate(() => resolve(closed));
    });
    socket.resume();
  }
  return await promise;
}

describe('the metrics and readiness endpoints', () => {
  it('serve metrics where Prometheus and Istio look for them', async () => {
    const metrics = new Metrics();
    metrics.observe('mesh_config_errors', () => [{ labels: {}, value: 2 }]);
    const server = await startMetricsServer(metrics, { host: '127.0.0.1', port: 0 }, silentLogger);
    running.push(server);
    for (const path of ['/metrics', '/stats/prometheus']) {
      const response = await fetch(`http://127.0.0.1:${server.port}${path}`);
      expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
      expect(await response.text()).toContain('mesh_config_errors 2');
    }
    expect((await fetch(`http://127.0.0.1:${server.port}/other`)).status).toBe(404);
    expect((await fetch(`http://127.0.0.1:${server.port}/metrics`, { method: 'POST' })).status).toBe(405);
  });

  it('answer 500 and go on when a metric cannot be read', async () => {
    const metrics = new Metrics();
    let broken = true;
    metrics.observe('mesh_config_errors', () => {
      if (broken) throw new Error('no');
      return [];
    });
    const server = await startMetricsServer(metrics, { host: '127.0.0.1', port: 0 }, silentLogger);
    running.push(server);
    expect((await fetch(`http://127.0.0.1:${server.port}/metrics`)).status).toBe(500);
    broken = false;
    expect((await fetch(`http://127.0.0.1:${server.port}/metrics`)).status).toBe(200);
  });

  it('say what a node that is not ready waits for, and that one that drains is not ready', async () => {
    let certificates = true;
    const readiness = new Readiness(['mesh model', 'BPF programs'], { certificates: () => certificates });
    const server = await startReadinessServer(readiness, { host: '127.0.0.1', port: 0 }, silentLogger);
    running.push(server);
    const get = async (): Promise<[number, string]> => {
      const response = await fetch(`http://127.0.0.1:${server.port}/healthz/ready`);
      return [response.status, await response.text()];
    };
    readiness.done('mesh model');
    expect(await get()).toEqual([503, 'not ready: BPF programs\n']);
    readiness.done('BPF programs');
    expect(await get()).toEqual([200, 'ready\n']);
    certificates = false;
    expect(await get()).toEqual([503, 'not ready: certificates\n']);
    certificates = true;
    expect(await get()).toEqual([200, 'ready\n']);
    readiness.drain();
    expect(await get()).toEqual([503, 'not ready: shutting down\n']);
  });

  it('do not let one address hold so many connections that others cannot ask', async () => {
    const server = await startMetricsServer(new Metrics(), { host: '127.0.0.1', port: 0 }, silentLogger);
    running.push(server);
    const sockets = Array.from({ length: 40 }, () =>
      connect({ port: server.port, host: '127.0.0.1', localAddress: '127.0.0.2' }),
    );
    const refused = await countClosed(sockets, 24);
    expect(refused).toBe(24);
    expect((await fetch(`http://127.0.0.1:${server.port}/metrics`)).status).toBe(200);
    for (const socket of sockets) socket.destroy();
  });

  it('say which address is taken when they cannot listen', async () => {
    const blocker = createServer();
    const { promise, resolve } = Promise.withResolvers<void>();
    blocker.listen(0, '127.0.0.1', resolve);
    await promise;
    const { port } = blocker.address() as { port: number };
    const start = startMetricsServer(new Metrics(), { host: '127.0.0.1', port }, silentLogger);
    await expect(start).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining(`:${port}`),
    });
    blocker.close();
  });
});
