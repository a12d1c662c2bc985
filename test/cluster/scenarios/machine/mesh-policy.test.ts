/** Policies in a real cluster: applied with kubectl, in force on both nodes at once, and no trouble for probes. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type ClusterApi, describePod, isReady } from '../../support/api.ts';
import { clusterUnderTest } from '../../support/cluster-under-test.ts';
import { eventually } from '../../support/eventually.ts';
import { measured } from '../../support/measure.ts';
import { type Connection, installedMesh, type Mesh } from '../../support/mesh.ts';
import { type Pair, pairManifest, whenPairReady } from '../../support/pair.ts';
import { kubectl, load } from '../../support/rollout.ts';
import { probedManifest } from '../../support/workloads.ts';

const namespace = 'mesh-test-policy';
const outside = 'mesh-test-policy-outside';
const minutes = 60_000;
const scratch = mkdtempSync(join(tmpdir(), 'mesh-ebpf-policy-'));
let api: ClusterApi;
let mesh: Mesh;
let pair: Pair;
let outsiders: Pair;

beforeAll(async () => {
  api = await clusterUnderTest();
  mesh = await installedMesh();
  await api.apply(pairManifest(namespace, { mode: 'ambient' }));
  await api.apply(pairManifest(outside));
  pair = await whenPairReady(api, namespace);
  outsiders = await whenPairReady(api, outside);
  await mesh.whenEnrolled(namespace, 2);
}, 15 * minutes);

afterAll(async () => {
  rmSync(scratch, { recursive: true, force: true });
  await Promise.all([api.deleteNamespace(namespace), api.deleteNamespace(outside)]);
}, 4 * minutes);

const policy = (kind: string, spec: object): string =>
  JSON.stringify({
    apiVersion: 'security.istio.io/v1',
    kind,
    metadata: { name: 'tested', namespace },
    spec,
  });

/** As a user does it; when kubectl returned. */
async function apply(manifest: string): Promise<number> {
  const file = join(scratch, 'policy.yaml');
  writeFileSync(file, manifest);
  await kubectl('apply', '-f', file);
  return Date.now();
}

const asked = { perSecond: 20, seconds: 12, clients: 1, newConnections: true };
/** Until loads are under way on a busy machine. */
const underWayMs = 5_000;

/** The connections that arrived at a pod, by when they were opened. */
const arrivals = async (name: string): Promise<readonly Connection[]> =>
  (await mesh.connections(namespace)).filter(
    ({ direction, destination }) =>
      direction === 'inbound' && destination.workload === `${namespace}/${name}`,
  );

const openedAt = ({ openedAt: time }: Connection): number => Date.parse(time);
const isDenied = ({ outcome }: Connection): boolean => outcome === 'denied';

describe('a policy applied with kubectl', () => {
  it(
    'is in force on both nodes within a second',
    async () => {
      const loads = Promise.all([
        load(pair.web, `http://cart.${namespace}/`, asked),
        load(pair.cart, `http://web.${namespace}/`, asked),
      ]);
      await delay(underWayMs);
      const from = [{ source: { namespaces: [namespace] } }];
      const returned = await apply(policy('AuthorizationPolicy', { action: 'DENY', rules: [{ from }] }));
      for (const { done, failed } of await loads) expect([done > failed, failed > 0]).toEqual([true, true]);
      for (const { name, node } of [pair.web, pair.cart]) {
        const all = await arrivals(name);
        const denied = all.filter(isDenied).map(openedAt);
        expect(denied.length).toBeGreaterThan(0);
        measured(`kubectl returned until ${node} refused, ms`, Math.min(...denied) - returned);
        expect(Math.min(...denied) - returned).toBeLessThan(1000);
        const late = all.filter((each) => !isDenied(each) && openedAt(each) > returned + 1000);
        expect(late).toEqual([]);
        expect(all.find(isDenied)?.verdict).toMatchObject({ policy: `${namespace}/tested` });
      }
      await kubectl('delete', '-n', namespace, 'authorizationpolicy', 'tested');
    },
    4 * minutes,
  );

  it(
    'that requires mutual TLS refuses plaintext on both nodes, and probes of every kind pass',
    async () => {
      const returned = await apply(policy('PeerAuthentication', { mtls: { mode: 'STRICT' } }));
      await delay(Math.max(0, returned + 1000 - Date.now()));
      const few = { ...asked, seconds: 2, perSecond: 5 };
      for (const name of ['cart', 'web']) {
        const plaintext = await load(outsiders.web, `http://${name}.${namespace}/`, few);
        expect(plaintext.done).toBeGreaterThan(0);
        expect(plaintext.failed).toBe(plaintext.done);
      }
      expect((await load(pair.web, `http://cart.${namespace}/`, few)).failed).toBe(0);
      expect((await load(pair.cart, `http://web.${namespace}/`, few)).failed).toBe(0);
      for (const { name } of [pair.web, pair.cart]) {
        const refused = (await arrivals(name)).filter((each) => isDenied(each) && openedAt(each) > returned);
        expect(refused.at(-1)?.verdict).toMatchObject({ policy: `peerauthentication/${namespace}/tested` });
      }
      await api.apply(probedManifest(namespace));
      await eventually(
        'all probed pods are ready but the one whose port is closed',
        async () =>
          (await api.pods(namespace, 'app=probed')).map((pod) => [isReady(pod), describePod(pod)] as const),
        (pods) => pods.length === 5 && pods.filter(([ready]) => ready).length === 4,
        2 * minutes,
      );
      await kubectl('delete', '-n', namespace, 'peerauthentication', 'tested');
      const again = await load(outsiders.web, `http://cart.${namespace}/`, few);
      expect(again.failed).toBeLessThan(again.done);
    },
    6 * minutes,
  );

  it('is refused by the API server when it cannot be meant', async () => {
    await expect(
      apply(policy('PeerAuthentication', { portLevelMtls: { 80: { mode: 'STRICT' } } })),
    ).rejects.toThrow('portLevelMtls needs a selector');
    await expect(apply(policy('AuthorizationPolicy', { action: 'PERMIT' }))).rejects.toThrow('PERMIT');
    const both = { selector: {}, targetRefs: [{ kind: 'Service', name: 'cart' }] };
    await expect(apply(policy('AuthorizationPolicy', both))).rejects.toThrow('only one of');
  });
});
