/** Policies in a real cluster: applied with kubectl, in force on both nodes at once, and no trouble for probes. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type ClusterApi, describePod, isReady } from '../../support/api.ts';
import { clusterUnderTest } from '../../support/cluster-under-test.ts';
import { eventsOf } from '../../support/events.ts';
import { eventually } from '../../support/eventually.ts';
import { echo, load as calls, ports } from '../../support/fortio.ts';
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

/** Also after a scenario that failed: the next one is not about its policy. */
afterEach(async () => {
  for (const kind of ['authorizationpolicy', 'peerauthentication', 'namespaceaccess']) {
    await kubectl('delete', '-n', namespace, kind, 'tested', '--ignore-not-found');
  }
}, minutes);

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

const access = (spec: object): string =>
  JSON.stringify({
    apiVersion: 'mesh-ebpf.io/v1alpha1',
    kind: 'NamespaceAccess',
    metadata: { name: 'tested', namespace },
    spec,
  });

type Condition = Readonly<Record<string, unknown>>;

/** Waits until a condition of ours on the object `tested` says all of this. */
async function whenCondition(kind: string, type: string, wanted: Condition): Promise<Condition> {
  const isSo = (condition: Condition | undefined): condition is Condition =>
    condition !== undefined && Object.entries(wanted).every(([field, value]) => condition[field] === value);
  const find = async (): Promise<Condition | undefined> => {
    const { status } = JSON.parse(await kubectl('get', kind, 'tested', '-n', namespace, '-o', 'json')) as {
      readonly status?: { readonly conditions?: readonly Condition[] };
    };
    return status?.conditions?.find((each) => each['type'] === `mesh-ebpf.io/${type}`);
  };
  const found = await eventually(`${kind} is ${type} as ${JSON.stringify(wanted)}`, find, isSo, minutes);
  return found ?? {};
}

/** As a user does it; when kubectl returned. */
async function apply(manifest: string): Promise<number> {
  const file = join(scratch, 'policy.yaml');
  writeFileSync(file, manifest);
  await kubectl('apply', '-f', file);
  return Date.now();
}

/** What is measured is milliseconds; on a machine with other work, a connection of a moment before may still be let in. */
const inForceMs = 5_000;
/** Fewer refusals in all, both ways, than the 256 that a node remembers of a pod: the first one is looked for. */
const asked = { perSecond: 8, seconds: 14, clients: 1, newConnections: true };
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
    'is in force on both nodes at once',
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
        expect(Math.min(...denied) - returned).toBeLessThan(inForceMs);
        const late = all.filter((each) => !isDenied(each) && openedAt(each) > returned + inForceMs);
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
      await delay(Math.max(0, returned + inForceMs - Date.now()));
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

  it(
    'says on its status whether it is accepted, and that every node runs it: of each kind, and of the next generation',
    async () => {
      const nodes = (await mesh.status()).length;
      for (const { kind, manifests } of [
        {
          kind: 'authorizationpolicy',
          manifests: [{ rules: [{}] }, { rules: [{ from: [{ source: { namespaces: [namespace] } }] }] }].map(
            (spec) => policy('AuthorizationPolicy', spec),
          ),
        },
        {
          kind: 'peerauthentication',
          manifests: ['PERMISSIVE', 'STRICT'].map((mode) => policy('PeerAuthentication', { mtls: { mode } })),
        },
        {
          kind: 'namespaceaccess',
          manifests: ['Allow', 'Deny'].map((each) => access({ inbound: { default: each } })),
        },
      ]) {
        for (const [i, manifest] of manifests.entries()) {
          const returned = await apply(manifest);
          await whenCondition(kind, 'Accepted', { status: 'True', observedGeneration: i + 1 });
          const done = await whenCondition(kind, 'Programmed', { status: 'True', observedGeneration: i + 1 });
          measured(
            `kubectl returned until ${kind} runs on every node by its status, ms`,
            Date.now() - returned,
          );
          expect(done['message']).toBe(`all ${nodes} nodes run generation ${i + 1}`);
        }
        await kubectl('delete', '-n', namespace, kind, 'tested');
      }
    },
    6 * minutes,
  );

  it(
    'says on its status why it is not accepted, or what is stricter than it says',
    async () => {
      const unreadable = [{ from: [{ source: { ipBlocks: ['010.0.0.1'] } }] }];
      await apply(policy('AuthorizationPolicy', { action: 'DENY', rules: unreadable }));
      const said = await whenCondition('authorizationpolicy', 'Accepted', { status: 'False' });
      expect(said).toMatchObject({
        reason: 'Invalid',
        message: expect.stringContaining('spec.rules[0].from[0].source.ipBlocks'),
      });
      expect(await whenCondition('authorizationpolicy', 'Programmed', { status: 'False' })).toMatchObject({
        reason: 'NotAccepted',
      });
      const http = [
        { from: [{ source: { namespaces: ['nowhere'] } }], to: [{ operation: { methods: ['GET'] } }] },
      ];
      await apply(policy('AuthorizationPolicy', { action: 'DENY', rules: http }));
      const stricter = await whenCondition('authorizationpolicy', 'Accepted', { status: 'True' });
      expect(stricter).toMatchObject({
        reason: 'UnsupportedValue',
        message: expect.stringContaining('spec.rules[0].to[0].operation.methods'),
      });
      await kubectl('delete', '-n', namespace, 'authorizationpolicy', 'tested');
    },
    4 * minutes,
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

const addressOf = async ({ namespace: where, name }: Pair['web']): Promise<string> =>
  (await api.core.readNamespacedPod({ namespace: where, name })).status?.podIP ?? '';

/** A load that fails is a result for fortio. */
async function answeredByUdp(from: Pair['web'], ip: string): Promise<void> {
  const { results } = await calls(api, from, 1, `udp://${ip}:${ports.udp}/`);
  if (results['OK'] !== 1) throw new Error(JSON.stringify(results));
}

/** `open`, or the client's words. */
const outcome = async (attempt: Promise<unknown>): Promise<string> =>
  await attempt.then(
    () => 'open',
    (thrown: unknown) => String(thrown),
  );

describe('a NamespaceAccess applied with kubectl', () => {
  it(
    'closes what leaves the mesh, and all UDP, on both nodes; what is within goes on, and Events say what was refused',
    async () => {
      const outsiders4 = [await addressOf(outsiders.web), await addressOf(outsiders.cart)];
      const tcp = (from: Pair['web'], ip: string): Promise<string> =>
        outcome(echo(api, from, `http://${ip}:${ports.http}/`, 'hello'));
      const udp = (from: Pair['web'], ip: string): Promise<string> => outcome(answeredByUdp(from, ip));
      const all = async (attempt: typeof tcp): Promise<readonly string[]> =>
        await Promise.all([pair.web, pair.cart].flatMap((from) => outsiders4.map((ip) => attempt(from, ip))));
      expect(await all(tcp)).toEqual(Array(4).fill('open'));
      expect(await all(udp)).toEqual(Array(4).fill('open'));
      await apply(access({ egress: { default: 'Deny' } }));
      await whenCondition('namespaceaccess', 'Programmed', { status: 'True' });
      for (const attempt of [tcp, udp]) {
        expect((await all(attempt)).filter((each) => each === 'open')).toEqual([]);
      }
      // By its name, which DNS tells; and through the mesh.
      expect(await outcome(echo(api, pair.web, `http://cart.${namespace}/`, 'hello'))).toBe('open');
      expect(await tcp(outsiders.web, outsiders4[1] ?? '')).toBe('open');
      for (const { name } of [pair.web, pair.cart]) {
        await eventually(
          `an Event on ${name}`,
          () => eventsOf(api, namespace, name),
          (events) =>
            events.some(
              ({ reason, message }) =>
                reason === 'ConnectionDenied' &&
                message?.includes(`namespaceaccess/${namespace}/tested`) === true,
            ),
          minutes,
        );
      }
      await kubectl('delete', '-n', namespace, 'namespaceaccess', 'tested');
      await eventually(
        'everything is open again',
        async () => [...(await all(tcp)), ...(await all(udp))],
        (outcomes) => outcomes.every((each) => each === 'open'),
        minutes,
      );
    },
    6 * minutes,
  );
});
