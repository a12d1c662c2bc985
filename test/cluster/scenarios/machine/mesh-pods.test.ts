/**
 * Pods that are reached by their node's addresses, and pods that are not what they seem: of the host's network, static, or
 * with an address that was another's a moment ago.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { rmSync, writeFileSync } from 'node:fs';
import { running } from '../../commands/context.ts';
import { findNode } from '../../machine/state.ts';
import { clusterNodes, clusterPrefix } from '../../plan/layout.ts';
import type { ClusterApi } from '../../support/api.ts';
import { Caller } from '../../support/calls.ts';
import { clusterUnderTest, context } from '../../support/cluster-under-test.ts';
import { eventually } from '../../support/eventually.ts';
import { type Connection, installedMesh, type Mesh } from '../../support/mesh.ts';
import { kubectl, onNode } from '../../support/rollout.ts';
import { namespaceObject, serverPod, serviceObject } from '../../support/services.ts';
import { documents } from '../../support/workloads.ts';

const namespace = 'mesh-test-pods';
const outside = 'mesh-test-pods-out';
const minutes = 60_000;
const [node1, node2] = clusterNodes(2);
const nodePort = 30_123;
/** Of nobody: kept for documentation. */
const [externalIp, balancerIp] = ['203.0.113.7', '203.0.113.8'];
let api: ClusterApi;
let mesh: Mesh;
let web: Caller;
let out: Caller;
let host: Caller;
let staticFile = '';

const account = (name: string): object => ({
  apiVersion: 'v1',
  kind: 'ServiceAccount',
  metadata: { name, namespace },
});
const identity = (name: string): string => `spiffe://cluster.local/ns/${namespace}/sa/${name}`;
const onHost = { hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' };

const objects = [
  namespaceObject(namespace, 'ambient'),
  namespaceObject(outside),
  account('old'),
  account('fresh'),
  serverPod({ namespace, name: 'web', node: 'node-1' }),
  serverPod({ namespace, name: 'shop', node: 'node-2', labels: { group: 'mixed' }, hostPort: 18_080 }),
  serverPod({
    namespace,
    name: 'host',
    node: 'node-2',
    labels: { group: 'mixed' },
    port: 28_080,
    spec: onHost,
  }),
  serverPod({ namespace: outside, name: 'out', node: 'node-1' }),
  serviceObject(namespace, 'shop', { selector: { app: 'shop' } }),
  serviceObject(namespace, 'host', { selector: { app: 'host' } }),
  serviceObject(namespace, 'mixed', { selector: { group: 'mixed' } }),
  serviceObject(namespace, 'front', {
    type: 'LoadBalancer',
    selector: { app: 'shop' },
    externalIPs: [externalIp],
    ports: [{ name: 'http', port: 80, targetPort: 'http', nodePort }],
  }),
];

beforeAll(async () => {
  api = await clusterUnderTest();
  mesh = await installedMesh();
  await api.apply(documents(...objects));
  await api.whenPodsReady(namespace, 'app in (web, shop, host)', 3);
  await api.whenPodsReady(outside, 'app=out', 1);
  await mesh.whenEnrolled(namespace, 2);
  web = new Caller(api, mesh, { namespace, name: 'web' });
  out = new Caller(api, mesh, { namespace: outside, name: 'out' });
  host = new Caller(api, mesh, { namespace, name: 'host' });
  const ingress = { status: { loadBalancer: { ingress: [{ ip: balancerIp }] } } };
  await kubectl(
    'patch',
    'service',
    'front',
    `--namespace=${namespace}`,
    '--subresource=status',
    '--type=merge',
    `--patch=${JSON.stringify(ingress)}`,
  );
  await web.whenAnswered(`http://shop.${namespace}/`);
  const { machine, state } = await running(context);
  staticFile = machine.layout.node(findNode(state, '1')).disk('/etc/kubernetes/manifests', 'pods-test.yaml');
}, 15 * minutes);

afterAll(async () => {
  rmSync(staticFile, { force: true });
  await Promise.all([api.deleteNamespace(namespace), api.deleteNamespace(outside)]);
}, 4 * minutes);

/** What the pod's node has on record of the call that `work` makes. */
async function arrivalOf(pod: string, work: () => Promise<unknown>): Promise<Connection> {
  const since = new Date().toISOString();
  await work();
  return mesh.whenConnection(
    `a connection to ${pod}`,
    namespace,
    ({ direction, destination, openedAt }) =>
      direction === 'inbound' && destination.workload === `${namespace}/${pod}` && openedAt >= since,
  );
}

/** Through ztunnel, or by the kernel alone: whichever connection of the pair it is. */
const withinNode = expect.stringMatching(/^(?:local|kernel)$/) as unknown;

const plaintext = { path: 'direct', source: { identity: null }, verdict: { allowed: true } };

describe('a pod of the mesh, reached by an address of its node,', () => {
  it('takes what comes through its hostPort as a connection without identity, from wherever it comes', async () => {
    const port = `http://${node2?.ip}:18080/`;
    await web.whenAnswered(port);
    for (const caller of [web, out, host]) {
      const arrival = await arrivalOf('shop', async () => {
        expect(await caller.call(port, 'through-host-port')).toContain('through-host-port');
      });
      expect(arrival).toMatchObject({ ...plaintext, originalDestination: `${await ipOf('shop')}:8080` });
    }
    // From the node itself, by its loopback address too: none of them waits for anybody.
    for (const address of [node2?.ip, '127.0.0.1']) {
      expect(await onNode('2', httpGet(address ?? '', 18_080))).toMatchObject({ code: 0 });
    }
  }, 240_000);

  it.each([
    ['a NodePort', `${node2?.ip}:${nodePort}`],
    ['a NodePort of another node', `${node1?.ip}:${nodePort}`],
    ['an external IP', externalIp],
    ['the address of a load balancer', balancerIp],
  ])(
    'takes what comes through %s as the node brings it',
    async (_, address) => {
      await web.whenAnswered(`http://${address}/`);
      const arrival = await arrivalOf('shop', () => web.call(`http://${address}/`, 'hello'));
      expect(arrival).toMatchObject(plaintext);
    },
    120_000,
  );
});

describe('a pod of the host’s network in a namespace of the mesh', () => {
  it('is not enrolled, and calls pods of the mesh by address and through a Service', async () => {
    const workloads = await mesh.workloads(namespace);
    expect(workloads.find(({ name }) => name === 'host')).toMatchObject({
      protocol: 'tcp',
      enrolment: 'not-meshed',
    });
    for (const target of [
      `http://${await ipOf('shop')}:8080/`,
      `http://${await ipOf('web')}:8080/`,
      `http://shop.${namespace}/`,
    ]) {
      await host.whenAnswered(target);
      expect(await host.call(target, 'from-host')).toContain('from-host');
    }
  }, 120_000);

  it('is called by pods of the mesh by address and through Services, also beside one that is in the mesh', async () => {
    for (const target of [`http://${node2?.ip}:28080/`, `http://host.${namespace}/`]) {
      await web.whenAnswered(target);
      expect(await web.call(target, 'to-host')).toContain('to-host');
    }
    await web.whenAnswered(`http://mixed.${namespace}/`);
    expect(await web.answeredBy(`http://mixed.${namespace}/`)).toEqual([`${node2?.ip}:28080`, 'shop']);
  }, 120_000);
});

describe('a static pod', () => {
  it('is in the mesh with the identity of its namespace’s default account, and gone with its file', async () => {
    const { metadata, spec, ...rest } = serverPod({ namespace, name: 'static', node: 'node-1' }) as {
      readonly metadata: object;
      readonly spec: object;
    };
    writeFileSync(staticFile, documents({ ...rest, metadata, spec: { ...spec, nodeSelector: undefined } }));
    await api.whenPodsReady(namespace, 'app=static', 1);
    const mirror = 'static-node-1';
    const target = `http://${await ipOf(mirror)}:8080/`;
    await host.whenAnswered(target);
    const arrival = await arrivalOf(mirror, () => web.call(target, 'hello'));
    expect(arrival).toMatchObject({ path: withinNode, destination: { identity: identity('default') } });
    const workloads = await mesh.workloads(namespace);
    expect(workloads.find(({ name }) => name === mirror)).toMatchObject({ enrolment: 'enrolled' });

    rmSync(staticFile);
    await eventually(
      'the mesh knows it no more',
      async () => (await mesh.workloads(namespace)).map(({ name }) => name),
      (names) => !names.includes(mirror),
      2 * minutes,
    );
  }, 300_000);
});

describe('an address that goes from one pod to the next', () => {
  it('has the identity of the pod that has it now, as server and as client', async () => {
    const ip = await start('first', 'old');
    const target = `http://${ip}:8080/`;
    expect(await arrivalOf('first', () => web.call(target, 'hello'))).toMatchObject(meshed('old'));

    await end('first', ip);
    expect(await start('second', 'fresh')).toBe(ip);
    expect(await arrivalOf('second', () => web.call(target, 'hello'))).toMatchObject(meshed('fresh'));
    const second = new Caller(api, mesh, { namespace, name: 'second' });
    const call = await arrivalOf('web', async () =>
      second.call(`http://${await ipOf('web')}:8080/`, 'hello'),
    );
    expect(call).toMatchObject({ path: 'tunnel', source: { identity: identity('fresh') } });
  }, 300_000);

  it('is dialled without the mesh when the pod that has it now is outside', async () => {
    const ip = await ipOf('second');
    await end('second', ip);
    expect(await start('third', 'old', { 'istio.io/dataplane-mode': 'none' })).toBe(ip);
    const since = new Date().toISOString();
    expect(await web.call(`http://${ip}:8080/`, 'unmeshed')).toContain('unmeshed');
    // A later connection that is on record: an earlier one would be as well.
    await web.call(`http://shop.${namespace}/`, 'hello');
    const records = await web.whenRecorded('the later call', (all) => all.length > 0, since);
    expect(records.map(({ service }) => service)).toEqual([`${namespace}/shop`]);
    const workloads = await mesh.workloads(namespace);
    expect(workloads.filter(({ addresses }) => addresses.includes(ip))).toEqual([
      expect.objectContaining({ name: 'third', enrolment: 'not-meshed' }),
    ]);
  }, 300_000);
});

const meshed = (name: string) => ({ path: 'tunnel', destination: { identity: identity(name) } });

async function start(name: string, serviceAccount: string, labels: Readonly<Record<string, string>> = {}) {
  await api.apply(documents(serverPod({ namespace, name, node: 'node-2', account: serviceAccount, labels })));
  await api.whenPodsReady(namespace, `app=${name}`, 1);
  return ipOf(name);
}

/** Ends the pod, and has the node's address management give its address to the next one. */
async function end(name: string, ip: string): Promise<void> {
  await api.core.deleteNamespacedPod({ namespace, name });
  await eventually(
    `${name} is gone`,
    async () => (await api.pods(namespace, `app=${name}`)).length,
    (count) => count === 0,
    minutes,
  );
  const before = ip.replace(/\d+$/, (last) => String(Number(last) - 1));
  await onNode('2', `printf ${before} > /run/cni/${clusterPrefix}/last_reserved_ip.0`);
}

async function ipOf(name: string): Promise<string> {
  return (await api.core.readNamespacedPod({ namespace, name })).status?.podIP ?? '';
}

/** Succeeds when there is an HTTP answer within five seconds. */
const httpGet = (address: string, port: number): string =>
  `timeout 5 bash -c 'exec 3<>/dev/tcp/${address}/${port}; printf "GET / HTTP/1.0\\r\\n\\r\\n" >&3; head -1 <&3 | grep -q "200 OK"'`;
