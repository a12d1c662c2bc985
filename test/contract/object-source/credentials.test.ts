// Who a node is to the API server: kubeconfig files, a pod's own token, and both as they change.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { systemClock } from '../../../src/base/clock.ts';
import { ApiConnection } from '../../../src/kube/api/connection.ts';
import type { ApiServer } from '../../../src/kube/client/kube-client.ts';
import { fromKubeconfig, fromPod } from '../../../src/kube/client/kube-config.ts';
import { FakeApiServer } from '../../support/fake-api-server.ts';

jest.setTimeout(60_000);

let directory: string;
let server: FakeApiServer;
const connections: ApiConnection[] = [];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'mesh-ebpf-credentials-'));
  server = await FakeApiServer.start();
});

afterEach(async () => {
  for (const connection of connections.splice(0)) connection.close();
  await server.close();
  rmSync(directory, { recursive: true, force: true });
});

const file = (name: string, text: string): string => {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
};

function connect(api: ApiServer): ApiConnection {
  const connection = new ApiConnection(systemClock, api, 'test');
  connections.push(connection);
  return connection;
}

async function presented(connection: ApiConnection): Promise<string | undefined> {
  const { signal } = new AbortController();
  const { body } = await connection.get({ path: '/api/v1/pods', accept: 'application/json', signal });
  for await (const _ of body);
  return server.requests.at(-1)?.authorization;
}

const kubeconfig = async (user: Record<string, unknown>): Promise<ApiConnection> =>
  connect(await fromKubeconfig({ kubeconfig: file('kubeconfig', server.kubeconfig(user)) }));

const mounted = 'var/run/secrets/kubernetes.io/serviceaccount';

const inPod = async (): Promise<ApiConnection> => connect(await fromPod(directory));

describe('a kubeconfig', () => {
  it('says with which token', async () => {
    expect(await presented(await kubeconfig({ token: 'secret' }))).toBe('Bearer secret');
  });

  it('may name a file with the token, which ends with a newline', async () => {
    const tokenFile = file('token', 'from-file\n');
    expect(await presented(await kubeconfig({ tokenFile }))).toBe('Bearer from-file');
  });

  it('may ask a program for the token', async () => {
    const credential = {
      apiVersion: 'client.authentication.k8s.io/v1',
      kind: 'ExecCredential',
      status: { token: 'made' },
    };
    const exec = {
      apiVersion: credential.apiVersion,
      command: 'printf',
      args: ['%s', JSON.stringify(credential)],
      interactiveMode: 'Never',
    };
    expect(await presented(await kubeconfig({ exec }))).toBe('Bearer made');
  });

  it.each([
    ['is not there', undefined],
    ['is no YAML', '{'],
    ['names no cluster', 'apiVersion: v1\nkind: Config\n'],
  ])('that %s is refused', async (_name, text) => {
    const path = text === undefined ? join(directory, 'none') : file('bad', text);
    await expect(fromKubeconfig({ kubeconfig: path })).rejects.toThrow(
      /kubeconfig cannot be used|no API server/,
    );
  });
});

describe('in a pod', () => {
  beforeEach(() => {
    process.env['KUBERNETES_SERVICE_HOST'] = 'localhost';
    process.env['KUBERNETES_SERVICE_PORT'] = String(server.port);
    mkdirSync(join(directory, mounted), { recursive: true });
    file(`${mounted}/ca.crt`, server.caPem);
    file(`${mounted}/token`, 'first');
  });

  it('the mounted token is presented, and read again when it was refused', async () => {
    const connection = await inPod();
    expect(await presented(connection)).toBe('Bearer first');
    file(`${mounted}/token`, 'rotated');
    connection.renewCredentials();
    expect(await presented(connection)).toBe('Bearer rotated');
    expect(server.connections).toBe(1);
  });

  it('a new certificate authority means a new connection', async () => {
    const connection = await inPod();
    await presented(connection);
    file(`${mounted}/ca.crt`, `${server.caPem}${server.caPem}`);
    await presented(connection);
    expect(server.connections).toBe(2);
  });

  it('a server with another authority’s certificate is not talked to', async () => {
    const other = await FakeApiServer.start();
    file(`${mounted}/ca.crt`, other.caPem);
    await other.close();
    await expect(presented(await inPod())).rejects.toThrow(/cannot be reached/);
    expect(server.requests).toEqual([]);
  });
});
