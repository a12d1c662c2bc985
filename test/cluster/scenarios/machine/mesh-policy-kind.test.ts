/**
 * The kind AuthorizationPolicy comes into a cluster, is not served for a while although there are policies, and goes.
 * On this machine's cluster: on somebody's it would take their policies with it.
 */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { ApiextensionsV1Api } from '@kubernetes/client-node';
import type { Problem } from '../../../../src/telemetry/admin-api.ts';
import type { ClusterApi } from '../../support/api.ts';
import { clusterUnderTest } from '../../support/cluster-under-test.ts';
import { eventually } from '../../support/eventually.ts';
import { echo } from '../../support/fortio.ts';
import { timed } from '../../support/measure.ts';
import { installedMesh, type Mesh } from '../../support/mesh.ts';
import { type Pair, pairManifest, whenPairReady } from '../../support/pair.ts';

const namespace = 'mesh-test-policy-kind';
const crd = 'authorizationpolicies.security.istio.io';
const minutes = 60_000;
let api: ClusterApi;
let mesh: Mesh;
let pair: Pair;
/** Of whoever installed it before us. */
let found: string | undefined;

beforeAll(async () => {
  api = await clusterUnderTest();
  mesh = await installedMesh();
  found = await takeDefinition();
  await api.apply(pairManifest(namespace, { mode: 'ambient' }));
  pair = await whenPairReady(api, namespace);
}, 15 * minutes);

afterAll(async () => {
  await deleteDefinition();
  if (found !== undefined) {
    await api.apply(found);
    // Whoever comes next finds the nodes following it.
    await applyPolicy();
    await whenAnswered(false);
  }
  await api.deleteNamespace(namespace);
}, 8 * minutes);

it(
  'is missed by nobody while there is none, and policies are in force within seconds of its coming',
  async () => {
    await whenAnswered(true);
    expect(await problems()).toEqual([]);
    const installedAt = performance.now();
    await timed('kind installed until its first policy is in force', async () => {
      await api.apply(definition(['v1']));
      await applyPolicy();
      await whenAnswered(false);
    });
    // Two to five seconds, if the machine has time; looking for it now and then would take about a minute.
    expect(performance.now() - installedAt).toBeLessThan(25_000);
    expect(await mesh.runOk('policies', '-n', namespace)).toContain('nobody-calls-cart');
  },
  6 * minutes,
);

it(
  'is not served while there are policies: they stay in force for a minute, status says so and then that they are lost, and they come back with it',
  async () => {
    const unservedAt = performance.now();
    await api.apply(definition(['v1alpha9']));
    const [problem] = await eventually(
      'status says that the kind is not known',
      problems,
      (seen) => seen.length > 0,
      2 * minutes,
    );
    expect(problem).toMatchObject({ subject: 'source authorization policies', code: 'API_UNAVAILABLE' });
    expect(problem?.message).toContain(`does not know ${crd}`);
    expect(await isAnswered()).toBe(false);
    await whenAnswered(true);
    // Somewhat less: a node notices when its watch ends.
    expect(performance.now() - unservedAt).toBeGreaterThan(50_000);
    const messages = (await problems()).map(({ message }) => message);
    expect(messages).toContainEqual(expect.stringMatching(/1 that were in force are so no longer/));

    await api.apply(definition(['v1']));
    await whenAnswered(false);
    await eventually('status is clean', problems, (seen) => seen.length === 0, 3 * minutes);
  },
  9 * minutes,
);

it(
  'is deleted: the API server deletes every policy with it, and that is what the nodes follow',
  async () => {
    await deleteDefinition();
    await whenAnswered(true);
    await eventually('status is clean', problems, (seen) => seen.length === 0, 3 * minutes);
  },
  6 * minutes,
);

const problems = async (): Promise<readonly Problem[]> =>
  (await mesh.status()).flatMap((status) => status.problems);

const isAnswered = (): Promise<boolean> =>
  echo(api, pair.web, `http://cart.${namespace}/`, 'hello').then(
    (text) => text.includes('hello'),
    () => false,
  );

const whenAnswered = (wanted: boolean): Promise<boolean> =>
  eventually(
    `cart ${wanted ? 'answers' : 'refuses'} web`,
    isAnswered,
    (answered) => answered === wanted,
    4 * minutes,
  );

/** The API server serves a new kind some moments after it has taken it. */
const applyPolicy = (): Promise<unknown> =>
  eventually(
    'the policy is taken',
    () =>
      api.apply(
        JSON.stringify({
          apiVersion: 'security.istio.io/v1',
          kind: 'AuthorizationPolicy',
          metadata: { name: 'nobody-calls-cart', namespace },
          spec: { selector: { matchLabels: { app: 'cart' } }, action: 'DENY', rules: [{}] },
        }),
      ),
    () => true,
    minutes,
  );

/** With both versions, of which these are served; objects are stored as v1. */
const definition = (served: readonly string[]): string =>
  JSON.stringify({
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: crd },
    spec: {
      group: 'security.istio.io',
      scope: 'Namespaced',
      names: {
        plural: 'authorizationpolicies',
        singular: 'authorizationpolicy',
        kind: 'AuthorizationPolicy',
        listKind: 'AuthorizationPolicyList',
      },
      versions: ['v1', 'v1alpha9'].map((name) => ({
        name,
        served: served.includes(name),
        storage: name === 'v1',
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: { spec: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
          },
        },
      })),
    },
  });

const definitions = (): ApiextensionsV1Api => api.kubeconfig.makeApiClient(ApiextensionsV1Api);

/** Takes away what is installed, and returns it as YAML to install it again. */
async function takeDefinition(): Promise<string | undefined> {
  const known = await definitions()
    .readCustomResourceDefinition({ name: crd })
    .catch(() => undefined);
  if (known === undefined) return undefined;
  const { apiVersion, kind, metadata, spec } = known;
  await deleteDefinition();
  const { name, labels, annotations } = metadata ?? {};
  return JSON.stringify({ apiVersion, kind, metadata: { name, labels, annotations }, spec });
}

async function deleteDefinition(): Promise<void> {
  await definitions()
    .deleteCustomResourceDefinition({ name: crd })
    .catch(() => undefined);
  await eventually(
    'the kind is gone',
    async () =>
      (await definitions().listCustomResourceDefinition()).items.map(({ metadata }) => metadata?.name),
    (names) => !names.includes(crd),
    minutes,
  );
}
