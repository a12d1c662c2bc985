/**
 * Our side: controller and node program as processes, with the pod `shop/web` enrolled and the peers described to
 * them as meshed pods of other nodes. The same binary and flags as on a real node.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ConfigDump } from '../../../src/telemetry/config-dump-types.ts';
import type {
  ConnectionItem,
  ConnectionsDocument,
  StatusDocument,
} from '../../../src/telemetry/admin-api.ts';
import { type Place, type Process, sh, waitFor } from './processes.ts';
import { type Member, nodeIp, Topology } from './topology.ts';

const binary = fileURLToPath(new URL('../../../bin/mesh-ebpf', import.meta.url));
const webUid = '00000001-0000-4000-8000-000000000000';

export const web = { name: 'web', namespace: 'shop', serviceAccount: 'web', ip: '10.91.1.5' } as const;

/** A pod that is not on our node, as our objects describe it. */
export interface RemotePod {
  readonly name: string;
  readonly ip: string;
  readonly serviceAccount: string;
}

export interface Authority {
  readonly address: string;
  readonly rootFile: string;
  readonly tokensFile: string;
  readonly directory: string;
}

export interface AuthorityOptions {
  readonly name: string;
  readonly port: number;
  readonly trustDomain: string;
  /** Has the keys of this authority, so that only the trust domain tells the two apart. */
  readonly keysOf?: Authority;
}

export class OurMesh {
  readonly topology = new Topology();
  readonly pod: Member;
  readonly objects: string;
  readonly #nodePlace: Place;
  readonly #controllerPlace: Place;
  readonly #runDirectory: string;
  #nodes = 0;
  readonly #controllers = new Map<string, Process>();

  constructor(remote: readonly RemotePod[]) {
    this.pod = this.topology.addPod(web.name, web.ip, webUid);
    this.#nodePlace = this.topology.onNode('mesh');
    this.#controllerPlace = this.topology.onNode('controllers');
    this.objects = join(this.topology.directory, 'objects');
    this.#runDirectory = join(this.topology.directory, 'run');
    for (const path of [this.objects, this.#runDirectory]) mkdirSync(path);
    this.writeObjects('mesh.yaml', meshObjects(remote));
  }

  writeObjects(file: string, text: string): void {
    writeFileSync(join(this.objects, file), text);
  }

  /** A controller, ready to sign. */
  async startAuthority(options: AuthorityOptions): Promise<Authority> {
    const { name, port, trustDomain } = options;
    const directory = join(this.topology.directory, `ca-${name}`);
    mkdirSync(directory, { mode: 0o700 });
    if (options.keysOf !== undefined) copyKeys(options.keysOf, directory, trustDomain);
    const address = `${nodeIp}:${port}`;
    const tokensFile = join(this.topology.directory, `tokens-${name}.json`);
    writeFileSync(tokensFile, '{"nodes":{},"serviceAccounts":{}}');
    const controller = this.topology.start(
      `controller-${name}`,
      this.#controllerPlace,
      commandLine('controller', {
        objects: this.objects,
        'ca-dir': directory,
        listen: address,
        tokens: tokensFile,
        'trust-domain': trustDomain,
      }),
    );
    this.#controllers.set(name, controller);
    await controller.waitForOutput(/listening|serving|ready/i);
    return { address, rootFile: join(directory, 'ca-root.pem'), tokensFile, directory };
  }

  /** What the authority of this name logged. */
  authorityLog(name: string): readonly Readonly<Record<string, unknown>>[] {
    return this.#controllers.get(name)?.lines() ?? [];
  }

  /** A token for `--node NAME` or `--service-account NAMESPACE/NAME`, in a file. */
  token(authority: Authority, flag: '--node' | '--service-account', name: string): string {
    const token = sh(`${binary} ca token create --tokens ${authority.tokensFile} ${flag} ${name}`).trim();
    const file = join(this.topology.directory, `token-${name.replace('/', '-')}-${Date.now()}`);
    writeFileSync(file, token, { mode: 0o600 });
    return file;
  }

  /** Our node program, with the pod enrolled and its certificate there. */
  async startNode(authority: Authority, trustDomain: string): Promise<Process> {
    const token = this.token(authority, '--node', 'node-a');
    const node = this.topology.start(
      `node-${this.#nodes++}`,
      this.#nodePlace,
      commandLine('node', {
        'node-name': 'node-a',
        objects: this.objects,
        'cgroup-root': this.topology.cgroupRoot,
        'pin-root': this.topology.pinRoot,
        'run-dir': this.#runDirectory,
        'ca-address': authority.address,
        'ca-root': authority.rootFile,
        'token-file': token,
        'trust-domain': trustDomain,
        'log-level': 'debug',
      }),
    );
    await node.waitForOutput(/"msg":"(not )?ready/);
    await waitFor('the pod to be enrolled with a certificate', () => this.#isServing());
    return node;
  }

  async #isServing(): Promise<boolean> {
    const status = await this.admin<StatusDocument>('/v1/status').catch(() => undefined);
    return status?.readiness.ready === true && status.pods.enrolled === 1 && status.ca.nextExpiry !== null;
  }

  configDump(): Promise<ConfigDump> {
    return this.admin('/config_dump');
  }

  /** As a person asks: `mesh-ebpf connections -o json`. */
  connections(): readonly ConnectionItem[] {
    const asked = `${binary} connections -o json --limit 5000 --socket ${this.#socket} 2>/dev/null`;
    return (JSON.parse(sh(asked)) as { readonly items: readonly ConnectionItem[] }).items;
  }

  /** The completed connections so far, oldest first, without the cost of a process. */
  async recent(): Promise<readonly ConnectionItem[]> {
    return (await this.admin<ConnectionsDocument>('/v1/connections?limit=5000')).recent;
  }

  get #socket(): string {
    return join(this.#runDirectory, 'admin.sock');
  }

  admin<T>(path: string): Promise<T> {
    return new Promise((resolve, reject) => {
      const asked = request({ socketPath: this.#socket, path, timeout: 10_000 }, (answer) => {
        let text = '';
        answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
        answer.on('end', () => resolve(JSON.parse(text) as T));
      });
      asked.on('error', reject);
      asked.on('timeout', () => asked.destroy(new Error('the admin socket does not answer')));
      asked.end();
    });
  }

  close(): Promise<void> {
    return this.topology.close();
  }
}

const commandLine = (command: string, flags: Readonly<Record<string, string>>): readonly string[] => [
  binary,
  command,
  ...Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value]),
];

function copyKeys({ directory }: Authority, to: string, trustDomain: string): void {
  for (const file of readdirSync(directory).filter((name) => name.endsWith('.json'))) {
    const state = JSON.parse(readFileSync(join(directory, file), 'utf8')) as object;
    writeFileSync(join(to, file), JSON.stringify({ ...state, trustDomain }), { mode: 0o600 });
  }
}

const meshObjects = (remote: readonly RemotePod[]): string =>
  [
    `apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
`,
    podObject({
      name: web.name,
      ip: web.ip,
      serviceAccount: web.serviceAccount,
      node: 'node-a',
      uid: webUid,
    }),
    ...remote.map((pod, index) =>
      podObject({ ...pod, node: 'elsewhere', uid: `0000000${index + 2}-0000-4000-8000-000000000000` }),
    ),
  ].join('---\n');

const podObject = (pod: RemotePod & { readonly node: string; readonly uid: string }): string =>
  `apiVersion: v1
kind: Pod
metadata: {name: ${pod.name}, namespace: shop, uid: ${pod.uid}, labels: {app: ${pod.name}}}
spec: {nodeName: ${pod.node}, serviceAccountName: ${pod.serviceAccount}, containers: [{name: app, image: none}]}
status: {phase: Running, podIP: ${pod.ip}, podIPs: [{ip: ${pod.ip}}]}
`;
