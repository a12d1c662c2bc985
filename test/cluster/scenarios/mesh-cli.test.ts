/**
 * An administrator's laptop: the CLI with a kubeconfig and nothing else, whose user has exactly the rights that
 * docs/cli-from-outside.md asks for. Runs on any cluster; kubectl has to be on the machine.
 */
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { V1PolicyRule } from '@kubernetes/client-node';
import { parse } from 'yaml';
import { meshNamespace } from '../../../src/controller/kubernetes/names.ts';
import type { StatusDocument, WorkloadItem } from '../../../src/telemetry/admin-api.ts';
import { exec, type Finished } from '../machine/exec.ts';
import type { ClusterApi } from '../support/api.ts';
import { clusterUnderTest } from '../support/cluster-under-test.ts';
import { eventually } from '../support/eventually.ts';
import { echo } from '../support/fortio.ts';
import { kubectlDirectory } from '../support/kubectl.ts';
import { installedMesh, type Mesh } from '../support/mesh.ts';
import { type Pair, pairManifest, whenPairReady } from '../support/pair.ts';

const root = join(import.meta.dirname, '..', '..', '..');
const namespace = 'mesh-test-cli';
const operator = 'mesh-test-operator';
const minutes = 60_000;
let api: ClusterApi;
let mesh: Mesh;
let pair: Pair;
let laptop: string;
let kubectl: string;

beforeAll(async () => {
  api = await clusterUnderTest();
  mesh = await installedMesh();
  kubectl = await kubectlDirectory();
  await api.apply(pairManifest(namespace, { mode: 'ambient' }));
  pair = await whenPairReady(api, namespace);
  await api.apply(
    JSON.stringify({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: operator, namespace } }),
  );
  await grant(await documentedRules());
  laptop = await mkdtemp(join(tmpdir(), 'mesh-ebpf-laptop-'));
  await writeFile(join(laptop, 'kubeconfig'), await operatorsKubeconfig(), { mode: 0o600 });
  await mkdir(join(laptop, 'bin'));
  // As the documentation says.
  for (const name of ['kubectl-mesh', 'kubectl_complete-mesh']) {
    await symlink(join(root, 'bin', name), join(laptop, 'bin', name));
  }
  await eventually(
    'web reaches cart',
    () => echo(api, pair.web, `http://cart.${namespace}/`, 'hello'),
    (text) => text.includes('hello'),
    minutes,
  );
  await mesh.whenRecorded(namespace, pair);
}, 15 * minutes);

afterAll(async () => {
  await rm(laptop, { recursive: true, force: true });
  await grant([]);
  await api.deleteNamespace(namespace);
}, 4 * minutes);

/** Nodes on the laptop itself, a lab's, would go before the cluster of $KUBECONFIG. */
const notOfLab = (): readonly string[] => ['--kubeconfig', join(laptop, 'kubeconfig')];

describe('with the documented rights', () => {
  it.each([
    [['status'], [0], /MESH +ok/],
    [['workloads', '-n', namespace], [0], /cart/],
    [['services', '-n', namespace], [0], /cart/],
    [['certs'], [0], new RegExp(`ns/${namespace}/sa/web`)],
    [['connections', '-n', namespace], [0], /cart/],
    [['explain', `${namespace}/web`, `cart.${namespace}:80`], [0], /^ALLOWED [^]*path +HBONE/],
    [['maps', 'list'], [0], /destinations/],
    [['maps', 'dump', 'pods'], [0], /10\.|fd/],
    [['programs'], [0], /mesh_connect4/],
    // 1: it found something about this machine, which is no matter of rights.
    [['doctor'], [0, 1], /node-1[^]*node-2/],
    [['version'], [0], /./],
  ] as const)(
    'mesh-ebpf %j answers from the laptop',
    async (args, statuses, shown) => {
      const { code, stdout, stderr } = await run('mesh-ebpf', ...args, ...notOfLab());
      expect(statuses).toContain(code);
      // Hints are there, too.
      expect(stderr).not.toContain('error:');
      expect(stdout).toMatch(shown);
    },
    2 * minutes,
  );

  it(
    'every node is asked, each about its own',
    async () => {
      const { stdout } = await run('mesh-ebpf', 'status', '-o', 'json', ...notOfLab());
      const { items } = JSON.parse(stdout) as { readonly items: readonly StatusDocument[] };
      expect(items.map(({ node }) => node)).toEqual(await api.readyNodes());
      const asked = ['workloads', '-n', namespace, '--node', pair.web.node, '-o', 'json'];
      const of = await run('mesh-ebpf', ...asked, ...notOfLab());
      const workloads = JSON.parse(of.stdout) as { readonly items: readonly WorkloadItem[] };
      expect(workloads.items.map(({ name }) => name)).toContain(pair.web.name);
    },
    minutes,
  );

  it(
    'kubectl mesh is the same program, completion included',
    async () => {
      const status = await run('kubectl', 'mesh', 'status', '-o', 'json');
      expect(status).toMatchObject({ code: 0, stderr: '' });
      expect(JSON.parse(status.stdout)).toMatchObject({ kind: 'StatusList' });
      const plugins = await run('kubectl', 'plugin', 'list');
      expect(plugins.stdout).toContain('kubectl-mesh');
      const completed = await run('kubectl_complete-mesh', 'stat');
      expect(completed.stdout).toContain('status');
    },
    2 * minutes,
  );
});

describe('without a right', () => {
  it(
    'to run programs in pods, says which one is missing for each node, and that nothing is known',
    async () => {
      await grant((await documentedRules()).filter(({ resources = [] }) => !resources.includes('pods/exec')));
      const { code, stdout, stderr } = await eventually(
        'the right is gone',
        () => run('mesh-ebpf', 'status'),
        (seen) => seen.code === 3,
        minutes,
      );
      const said = stdout + stderr;
      expect(said).toMatch(
        /service account mesh-test-cli\/mesh-test-operator may not (get|create) pods\/exec/,
      );
      expect(said).toContain('resources: ["pods/exec"], verbs: ["get", "create"]');
      expect(code).toBe(3);
    },
    2 * minutes,
  );

  it(
    'to see DaemonSets and Nodes, answers all the same, and says what was not looked at',
    async () => {
      await grant(
        (await documentedRules()).filter(({ resources = [] }) =>
          resources.some((of) => of.startsWith('pods')),
        ),
      );
      const { stderr } = await eventually(
        'the rights are there',
        () => run('mesh-ebpf', 'status'),
        ({ code }) => code === 0,
        minutes,
      );
      expect(stderr).toContain('nodes that have no pod of the mesh are not shown');
      expect(stderr).toContain('resources: ["daemonsets"], verbs: ["get"]');
    },
    2 * minutes,
  );
});

/** Nothing of this machine's own: not its nodes' sockets, and no other kubeconfig. */
const run = (program: string, ...args: readonly string[]): Promise<Finished> =>
  exec([program, ...args], {
    env: {
      HOME: laptop,
      KUBECONFIG: join(laptop, 'kubeconfig'),
      PATH: [join(laptop, 'bin'), join(root, 'bin'), kubectl, process.env['PATH'] ?? ''].join(':'),
    },
    timeoutMs: minutes,
  });

/** The blocks of the documentation, all of them. */
async function documentedRules(): Promise<readonly V1PolicyRule[]> {
  const text = await readFile(join(root, 'docs', 'cli-from-outside.md'), 'utf8');
  const blocks = [...text.matchAll(/^ {4}rules:\n(?: {6}.*\n)+/gm)].map(([block]) => block);
  expect(blocks.length).toBe(2);
  return blocks.flatMap((block) => (parse(block) as { readonly rules: V1PolicyRule[] }).rules);
}

/** A Role in the mesh's namespace with all of them, and a ClusterRole with what is about Nodes. */
async function grant(rules: readonly V1PolicyRule[]): Promise<void> {
  const ofCluster = rules.filter(({ resources = [] }) => resources.includes('nodes'));
  const ofNamespace = rules.filter((rule) => !ofCluster.includes(rule));
  const subjects = [{ kind: 'ServiceAccount', name: operator, namespace }];
  const apiGroup = 'rbac.authorization.k8s.io';
  const apiVersion = `${apiGroup}/v1`;
  const inMesh = { name: operator, namespace: meshNamespace };
  const objects = [
    { apiVersion, kind: 'Role', metadata: inMesh, rules: ofNamespace },
    {
      apiVersion,
      kind: 'RoleBinding',
      metadata: inMesh,
      subjects,
      roleRef: { apiGroup, kind: 'Role', name: operator },
    },
    { apiVersion, kind: 'ClusterRole', metadata: { name: operator }, rules: ofCluster },
    {
      apiVersion,
      kind: 'ClusterRoleBinding',
      metadata: { name: operator },
      subjects,
      roleRef: { apiGroup, kind: 'ClusterRole', name: operator },
    },
  ];
  const yaml = objects.map((object) => JSON.stringify(object)).join('\n---\n');
  if (rules.length === 0) await api.delete(yaml);
  else await api.apply(yaml);
}

/** A server, its roots, and a token of an hour. */
async function operatorsKubeconfig(): Promise<string> {
  const cluster = api.kubeconfig.getCurrentCluster();
  const { status } = await api.core.createNamespacedServiceAccountToken({
    name: operator,
    namespace,
    body: { spec: { audiences: [], expirationSeconds: 3600 } },
  });
  const { server, caData, caFile } = cluster ?? {};
  const roots = caData ?? (caFile === undefined ? '' : (await readFile(caFile)).toString('base64'));
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'mesh',
    clusters: [{ name: 'mesh', cluster: { server, 'certificate-authority-data': roots } }],
    users: [{ name: 'operator', user: { token: status?.token } }],
    contexts: [{ name: 'mesh', context: { cluster: 'mesh', user: 'operator' } }],
  });
}
