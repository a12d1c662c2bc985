/** An API source on a fake API server, with delays short enough for tests. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../../src/base/clock.ts';
import { type Logger, silentLogger } from '../../../src/base/log.ts';
import { ApiSource, type LastGood } from '../../../src/kube/api/api-source.ts';
import { ApiConnection } from '../../../src/kube/api/connection.ts';
import { fromKubeconfig } from '../../../src/kube/client/kube-config.ts';
import { nodeFeeds } from '../../../src/kube/api/feed.ts';
import type { ReflectorOptions } from '../../../src/kube/api/reflector.ts';
import type { NodeName } from '../../../src/model/mesh.ts';
import type { FakeObject } from '../../support/fake-api-objects.ts';
import { apiPaths, FakeApiServer, type FakeServerOptions } from '../../support/fake-api-server.ts';
import { Mirror } from './mirror.ts';

export const quickly: ReflectorOptions = {
  limits: { maxLineBytes: 100_000, maxPageBytes: 1_000_000, answerMs: 2_000, silenceMs: 2_000 },
  retry: { minMs: 5, maxMs: 50 },
  absentRetryMs: 50,
  definedRetry: { minMs: 5, maxMs: 20 },
  absentGraceMs: 300,
  pageSize: 3,
  watchMs: 60_000,
  settleMs: 20,
};

export interface RigOptions extends FakeServerOptions {
  readonly lastGood?: LastGood;
  readonly reflector?: Partial<ReflectorOptions>;
  readonly user?: Readonly<Record<string, unknown>>;
}

export class ApiRig {
  readonly mirror = new Mirror();
  readonly logged: string[] = [];
  readonly source: ApiSource;
  readonly server: FakeApiServer;
  readonly #directory: string;

  private constructor(server: FakeApiServer, source: ApiSource, directory: string, logged: string[]) {
    this.server = server;
    this.source = source;
    this.#directory = directory;
    this.logged = logged;
  }

  static async open(options: RigOptions = {}): Promise<ApiRig> {
    const server = await FakeApiServer.start(options);
    const directory = mkdtempSync(join(tmpdir(), 'mesh-ebpf-api-'));
    const file = join(directory, 'kubeconfig');
    writeFileSync(file, server.kubeconfig(options.user));
    const api = await fromKubeconfig({ kubeconfig: file });
    const logged: string[] = [];
    const note = (_: unknown, message: string): void => void logged.push(message);
    const log: Logger = { ...silentLogger, info: note, warn: note, error: note };
    const connection = new ApiConnection(systemClock, api, 'mesh-ebpf/test');
    const source = new ApiSource(
      { connection, clock: systemClock, log },
      {
        feeds: nodeFeeds('node-a' as NodeName),
        lastGood: options.lastGood,
        reflector: { ...quickly, ...options.reflector },
      },
    );
    return new ApiRig(server, source, directory, logged);
  }

  /** With everything reported. */
  static async started(
    options: RigOptions = {},
    fill: (server: FakeApiServer) => void = () => {},
  ): Promise<ApiRig> {
    const rig = await ApiRig.open(options);
    fill(rig.server);
    await rig.source.start(rig.mirror);
    return rig;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.source.stop();
    await this.server.close();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

export const namespace = (name: string, team = 'x'): FakeObject => ({
  metadata: { name, uid: `uid-${name}`, labels: { team }, managedFields: [{ manager: 'kubectl' }] },
  status: { phase: 'Active' },
});

export interface PodFields {
  readonly node?: string;
  readonly phase?: string;
  /** '' for none yet. */
  readonly ip?: string;
  readonly uid?: string;
}

export const pod = (
  name: string,
  { node, phase = 'Running', ip = '10.0.0.1', uid = name }: PodFields = {},
): FakeObject => ({
  metadata: {
    name,
    namespace: 'shop',
    uid,
    annotations: { 'kubectl.kubernetes.io/last-applied': 'x'.repeat(100) },
  },
  spec: {
    ...(node === undefined ? {} : { nodeName: node }),
    containers: [{ name: 'Not A Valid Name', image: 'i' }],
    serviceAccountName: 'web',
  },
  status: ip === '' ? { phase } : { phase, podIP: ip, podIPs: [{ ip }] },
});

export const policy = (name: string): FakeObject => ({
  metadata: { name, namespace: 'shop' },
  spec: { action: 'DENY', rules: [{}] },
});

export const putNamespaces = (server: FakeApiServer, ...names: readonly string[]): void =>
  names.forEach((name) => server.put(apiPaths.namespaces, namespace(name)));
