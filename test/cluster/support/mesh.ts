/** The mesh on the cluster under test, installed and asked as a user does it: the CLI and a kubeconfig. */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { MeshError } from '../../../src/base/errors.ts';
import type {
  CertificateItem,
  ConnectionItem,
  StatusDocument,
  WorkloadItem,
} from '../../../src/telemetry/admin-api.ts';
import { running } from '../commands/context.ts';
import { exec, execOk, type Finished } from '../machine/exec.ts';
import { loadImage, runOnNode } from '../machine/node.ts';
import { nodesOf } from '../machine/state.ts';
import { containerdSocket } from '../plan/node-files.ts';
import type { ClusterApi } from './api.ts';
import { context, kubeconfigUnderTest, somebodysCluster } from './cluster-under-test.ts';
import { eventually } from './eventually.ts';
import type { Pair } from './pair.ts';

const root = join(import.meta.dirname, '..', '..', '..');
const program = join(root, 'bin', 'mesh-ebpf');
const archive = join(root, 'build', 'mesh-ebpf-image.tar');
const bundle = join(root, 'dist', 'mesh-ebpf.mjs');

/** Longer than the commands' own patience, so that they say themselves what they waited for. */
const commandTimeoutMs = 6 * 60_000;
const conditionTimeoutMs = 60_000;

export type Connection = ConnectionItem & { readonly node: string };

interface Items<Item> {
  readonly items: readonly Item[];
}

export class Mesh {
  readonly #kubeconfig: string;

  constructor(kubeconfig: string) {
    this.#kubeconfig = kubeconfig;
  }

  /** `mesh-ebpf ARGS…` as from somebody's laptop. */
  run(...args: readonly string[]): Promise<Finished> {
    return exec([program, ...args, '--kubeconfig', this.#kubeconfig], { timeoutMs: commandTimeoutMs });
  }

  /** @throws MeshError UNAVAILABLE with what the command said */
  async runOk(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(...args);
    if (code === 0) return stdout;
    throw failed(args, code, stderr || stdout);
  }

  /** Of all nodes and, unless it is undefined, one namespace. Findings are answers too. */
  async #ask<Document>(command: string, namespace?: string, ...more: readonly string[]): Promise<Document> {
    const args = [command, '-o', 'json', ...(namespace === undefined ? [] : ['-n', namespace]), ...more];
    const { code, stdout, stderr } = await this.run(...args);
    if (code > 1) throw failed(args, code, stderr);
    return JSON.parse(stdout) as Document;
  }

  async status(): Promise<readonly StatusDocument[]> {
    return (await this.#ask<Items<StatusDocument>>('status')).items;
  }

  async workloads(namespace: string): Promise<readonly WorkloadItem[]> {
    return (await this.#ask<Items<WorkloadItem>>('workloads', namespace)).items;
  }

  async certificates(): Promise<readonly CertificateItem[]> {
    return (await this.#ask<Items<CertificateItem>>('certs')).items;
  }

  async connections(namespace: string): Promise<readonly Connection[]> {
    return (await this.#ask<Items<Connection>>('connections', namespace, '--limit', '1000')).items;
  }

  /** Waits until the pods of a namespace that are captured are exactly as many. */
  async whenEnrolled(namespace: string, count: number): Promise<void> {
    await eventually(
      `${count} pods of ${namespace} are enrolled`,
      async () => (await this.workloads(namespace)).map(({ name, enrolment }) => [name, enrolment]),
      (pods) => pods.filter(([, enrolment]) => enrolment === 'enrolled').length === count,
      conditionTimeoutMs,
    );
  }

  /** The newest record of a kind; a node makes it when the connection opens, and completes it soon after its end. */
  async whenConnection(
    what: string,
    namespace: string,
    isMeant: (connection: Connection) => boolean,
  ): Promise<Connection> {
    const seen = await eventually(
      `on record: ${what}`,
      () => this.connections(namespace),
      (all) => all.some(isMeant),
      conditionTimeoutMs,
    );
    return seen
      .filter(isMeant)
      .toSorted((a, b) => a.openedAt.localeCompare(b.openedAt))
      .at(-1) as Connection;
  }

  /** What cart's node has on record of a connection from web. */
  whenRecorded(
    namespace: string,
    { web, cart }: Pair,
    isMeant: (connection: Connection) => boolean = () => true,
  ): Promise<Connection> {
    return this.whenConnection(
      `a connection from ${web.name} to ${cart.name}`,
      namespace,
      (connection) =>
        connection.direction === 'inbound' &&
        isFrom(connection, namespace, web.name) &&
        connection.destination.workload === `${namespace}/${cart.name}` &&
        isMeant(connection),
    );
  }
}

/** A pod in its first moments may be known to the other node by its certificate only: its address comes later. */
const isFrom = ({ source }: Connection, namespace: string, web: string): boolean =>
  source.workload === null
    ? source.identity === `spiffe://cluster.local/ns/${namespace}/sa/web`
    : source.workload === `${namespace}/${web}`;

const failed = (args: readonly string[], code: number, said: string): MeshError =>
  new MeshError('UNAVAILABLE', `"mesh-ebpf ${args.join(' ')}" ended with ${code}: ${said.trim()}`);

/**
 * The mesh, installed unless it is. On a cluster of this machine the image is the one of `make image`; on another it is
 * pulled, MESH_EBPF_IMAGE under that name.
 */
export async function installedMesh(): Promise<Mesh> {
  const mesh = new Mesh(kubeconfigUnderTest());
  if (somebodysCluster === undefined) {
    // Pods of a tag that is there already would go on with the old image.
    if (await giveImage()) await mesh.runOk('uninstall', '--cluster', '--yes');
    await mesh.runOk('install');
  } else {
    const image = process.env['MESH_EBPF_IMAGE'];
    await mesh.runOk('install', ...(image === undefined ? [] : ['--set', `image=${image}`]));
  }
  return mesh;
}

/** Loads the image into every node that has another one, or none. True when one had another. */
export async function giveImage(): Promise<boolean> {
  const { machine, state } = await running(context);
  const { digest, name } = await builtImage();
  const images = nodesOf(state).map(async (node) => {
    const list = [
      'ctr',
      '--address',
      containerdSocket,
      '-n',
      'k8s.io',
      'images',
      'ls',
      `name==${name}`,
    ] as const;
    const { stdout } = await runOnNode(machine, node, list);
    if (stdout.includes(digest)) return false;
    await loadImage(machine, node, archive);
    return stdout.includes(name);
  });
  return (await Promise.all(images)).includes(true);
}

/** @throws MeshError NOT_FOUND when it was not built, or the program was built again since */
async function builtImage(): Promise<{ readonly digest: string; readonly name: string }> {
  if (!existsSync(archive) || statSync(archive).mtimeMs < statSync(bundle).mtimeMs) {
    throw new MeshError('NOT_FOUND', `${archive} is not there or older than the program`, {
      hint: 'make image',
    });
  }
  const index = JSON.parse(await execOk(['tar', '-xOf', archive, 'index.json'])) as {
    readonly manifests: readonly [
      {
        readonly digest: string;
        readonly annotations: { readonly 'org.opencontainers.image.ref.name': string };
      },
    ];
  };
  const [{ digest, annotations }] = index.manifests;
  return { digest, name: annotations['org.opencontainers.image.ref.name'] };
}

/** As `kubectl label namespace NAME istio.io/dataplane-mode=MODE`; undefined takes the label away. */
export async function labelNamespace(
  api: ClusterApi,
  name: string,
  mode: 'ambient' | undefined,
): Promise<void> {
  await api.apply(
    JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, ...labelled(mode) } }),
  );
}

/** Beside the labels that its template gave it. */
export async function labelPod(
  api: ClusterApi,
  { namespace, name }: { readonly namespace: string; readonly name: string },
  mode: 'ambient' | 'none' | undefined,
): Promise<void> {
  const metadata = { namespace, name, ...labelled(mode) };
  await api.apply(JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata }));
}

const labelled = (mode: string | undefined) =>
  mode === undefined ? {} : { labels: { 'istio.io/dataplane-mode': mode } };
