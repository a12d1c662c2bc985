/**
 * Both address families, and kube-proxy with iptables: first as in any cluster, then in the mesh. In this order, on a
 * cluster of its own.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { V1Pod } from '@kubernetes/client-node';
import type { ClusterApi } from '../../support/api.ts';
import { Caller } from '../../support/calls.ts';
import { endOwnCluster, freshCluster } from '../../support/cluster-under-test.ts';
import { eventually } from '../../support/eventually.ts';
import { askFrom, echo, echoManifest, load, ports } from '../../support/fortio.ts';
import { overhear } from '../../support/link.ts';
import { timed } from '../../support/measure.ts';
import { installedMesh, labelNamespace, type Mesh } from '../../support/mesh.ts';
import { onNode } from '../../support/rollout.ts';
import { serviceObject } from '../../support/services.ts';
import { documents } from '../../support/workloads.ts';

const namespace = 'mesh-test-families';
const minutes = 60_000;
let api: ClusterApi;
let mesh: Mesh;
let client: V1Pod;
let server: V1Pod;
let caller: Caller;

const ref = (pod: V1Pod) => ({ namespace, name: pod.metadata?.name ?? '' });
const only = { selector: { app: 'echo' } };
const headless = {
  ...only,
  clusterIP: 'None',
  ipFamilyPolicy: 'RequireDualStack',
  ports: [{ name: 'http', port: ports.http }],
};

beforeAll(async () => {
  api = await timed('cluster up, iptables and both families', () =>
    freshCluster({ proxyMode: 'iptables', dualStack: true }),
  );
  await api.apply(echoManifest(namespace, 'echo'));
  await api.apply(
    documents(
      serviceObject(namespace, 'v6', { ...only, ipFamilyPolicy: 'SingleStack', ipFamilies: ['IPv6'] }),
      serviceObject(namespace, 'headless', headless),
    ),
  );
  const pods = await api.whenPodsReady(namespace, 'app=echo', 2, 4 * minutes);
  const on = (node: string) => pods.find(({ spec }) => spec?.nodeName === node);
  const [first, second] = [on('node-1'), on('node-2')];
  if (first === undefined || second === undefined) throw new Error('these scenarios need two nodes');
  [client, server] = [first, second];
}, 15 * minutes);

afterAll(endOwnCluster, 2 * minutes);

/** Ways to the echo servers: a Service has both families (PreferDualStack), one has IPv6 alone, one has no address. */
async function ways(): Promise<Readonly<Record<string, readonly string[]>>> {
  const { spec } = await api.core.readNamespacedService({ namespace, name: 'echo' });
  const [v4, v6] = spec?.clusterIPs ?? [];
  const [podV4, podV6] = podUrls();
  const byIpv6 = ['-resolve-ip-type', 'ip6'];
  return {
    'a Service by name': [`http://echo.${namespace}/`],
    'a Service by name, IPv6': [...byIpv6, `http://echo.${namespace}/`],
    'a Service by address': [`http://${v4}/`],
    'a Service by address, IPv6': [`http://[${v6}]/`],
    'a Service with IPv6 alone': [...byIpv6, `http://v6.${namespace}/`],
    'a headless Service': [`http://headless.${namespace}:${ports.http}/`],
    'a headless Service, IPv6': [...byIpv6, `http://headless.${namespace}:${ports.http}/`],
    'a pod': [`${podV4}/`],
    'a pod, IPv6': [`${podV6}/`],
  };
}

describe('in a cluster with both families and iptables', () => {
  it('Services work in both', async () => {
    for (const [way, target] of Object.entries(await ways())) {
      await eventually(
        way,
        () => load(api, ref(client), 10, '-keepalive=false', ...target),
        ({ results }) => results['200'] === 10,
        minutes,
      );
    }
    expect((await onNode('1', 'iptables-save -t nat | grep -q KUBE-SVC')).code).toBe(0);
    expect((await onNode('1', 'ip6tables-save -t nat | grep -q KUBE-SVC')).code).toBe(0);
  }, 480_000);

  it('in the mesh they do as well, and nothing crosses the link in plaintext', async () => {
    mesh = await timed('image loaded and mesh installed', installedMesh);
    caller = new Caller(api, mesh, ref(client));
    const [open, closed] = [`open-${randomUUID()}`, `closed-${randomUUID()}`];
    for (const url of podUrls()) {
      const heard = await overhear(() => echo(api, ref(client), url, open));
      expect(heard.contains(open)).toBe(true);
    }
    await labelNamespace(api, namespace, 'ambient');
    await mesh.whenEnrolled(namespace, 2);
    const since = new Date().toISOString();
    const heard = await overhear(async () => {
      for (const url of podUrls()) expect(await echo(api, ref(client), url, closed)).toContain(closed);
      for (const [way, target] of Object.entries(await ways())) {
        const { results } = await load(
          api,
          ref(client),
          4,
          '-keepalive=false',
          '-payload',
          closed,
          ...target,
        );
        expect([way, results]).toEqual([way, { 200: 4 }]);
      }
    });
    expect(heard.bytes).toBeGreaterThan(10_000);
    expect(heard.contains(closed)).toBe(false);
    // Names lead to the family that was asked for.
    const dialled = (await caller.records(since)).map(({ originalDestination }) => originalDestination);
    expect(dialled).toEqual(expect.arrayContaining([...(await addresses())]));
  }, 480_000);

  it('in the mesh both pods of a Service answer in both families, each with its identity', async () => {
    const both = [ref(client).name, ref(server).name].toSorted();
    const { 'a Service by address': v4 = [], 'a Service by address, IPv6': v6 = [] } = await ways();
    for (const [url = ''] of [v4, v6]) {
      const since = new Date().toISOString();
      expect(await caller.answeredBy(url)).toEqual(both);
      const across = await caller.records(since);
      expect(across.map(({ path, destination }) => [path, destination.identity])).toEqual(
        across.map(() => ['tunnel', `spiffe://cluster.local/ns/${namespace}/sa/default`]),
      );
    }
    // The application sees its client's own address, of the family that was dialled.
    const seen = await Promise.all(podUrls().map((url) => askFrom(api, ref(client), url)));
    expect(seen).toEqual(client.status?.podIPs?.map(({ ip }) => ip));
  }, 240_000);
});

const inBrackets = (ip: string): string => (ip.includes(':') ? `[${ip}]` : ip);

/** What `ways` lead to in any case: a headless Service may lead to either pod. */
async function addresses(): Promise<readonly string[]> {
  const services = await Promise.all(
    ['echo', 'v6'].map((name) => api.core.readNamespacedService({ namespace, name })),
  );
  const vips = services.flatMap(({ spec }) => spec?.clusterIPs ?? []);
  return [
    ...vips.map((ip) => `${inBrackets(ip)}:80`),
    ...(server.status?.podIPs ?? []).map(({ ip }) => `${inBrackets(ip)}:${ports.http}`),
  ];
}

/** The other node's pod by address, in both families. */
function podUrls(): readonly [string, string] {
  const [v4, v6] = (server.status?.podIPs ?? []).map(({ ip }) => ip);
  return [`http://${v4}:${ports.http}`, `http://[${v6}]:${ports.http}`];
}
