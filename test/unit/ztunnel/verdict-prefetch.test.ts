/** What the kernel knows of likely pairs before anybody dials, and what that costs. */
import { afterEach, describe, expect, it } from '@jest/globals';
import { silentLogger } from '../../../src/base/log.ts';
import type { NodeName } from '../../../src/model/mesh.ts';
import { type AuthorizationPolicy, policyKey } from '../../../src/model/policy.ts';
import { createAuthorizer } from '../../../src/policy/authorize.ts';
import { VerdictPrefetch, type VerdictPrefetchDeps } from '../../../src/ztunnel/verdict-prefetch.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { type MeshSpec, meshOf, pod, service } from '../../support/mesh-builder.ts';

const web = pod('shop/web', { ips: ['10.0.0.1', 'fd00::1'] });
const cart = pod('shop/cart', { ips: ['10.0.0.2', 'fd00::2'] });
const far = pod('shop/far', { ips: ['10.0.1.1'], node: 'node-b' });
const workloads = [web, cart, far];
const behind = [{ address: '10.0.0.2' }, { address: '10.0.1.1' }];
const services = [service('shop/cart', '10.96.0.2', '80:8080', behind)];

const deny = (...principals: readonly string[]): AuthorizationPolicy => ({
  key: policyKey('shop', 'deny'),
  namespace: 'shop',
  name: 'deny',
  action: 'deny',
  scope: { type: 'namespace' },
  rules: [{ from: [{ namespaces: principals }] }],
});

const stops: (() => void)[] = [];
afterEach(() => stops.splice(0).forEach((stop) => stop()));

function setup(spec: MeshSpec, changes: Partial<VerdictPrefetchDeps> = {}) {
  const mesh = meshOf(spec);
  const clock = new FakeClock();
  const enrolled = (spec.workloads ?? []).map(({ uid, addresses }, i) => ({ uid, addresses, podId: i + 1 }));
  const kernel = { generation: 1n, answers: new Map<string, bigint>(), workNs: 0n };
  // As the datapath does, which is told of changes first.
  mesh.subscribe(() => void kernel.generation++);
  const authorizer = createAuthorizer();
  const prefetch = new VerdictPrefetch({
    mesh,
    authorizer(view, request) {
      kernel.workNs += 100_000n;
      return authorizer(view, request);
    },
    kernelPath: {
      scope: { node: 'node-a' as NodeName },
      get generation() {
        return kernel.generation;
      },
      allow(podId, { ip }, local, uid, generation) {
        kernel.answers.set(`${podId} ${ip} > ${uid} ${local.ip} ${local.port}`, generation);
      },
    },
    pods: () => enrolled,
    limit: 100,
    clock,
    monotonicNs: () => kernel.workNs,
    log: silentLogger,
    ...changes,
  });
  stops.push(() => prefetch.stop());
  return { mesh, clock, enrolled, kernel, prefetch };
}

const toCart = `1 10.0.0.1 > ${cart.uid} 10.0.0.2 8080`;

describe('a pair that a Service connects', () => {
  it('is answered before anybody dials, by the address and port behind the Service', () => {
    const { kernel, prefetch } = setup({ workloads, services });
    prefetch.refresh();
    expect([...kernel.answers]).toEqual([[toCart, 1n]]);
  });

  it('is answered in each family that both pods have', () => {
    const six = service('shop/six', 'fd96::2', '80:8080', [{ address: 'fd00::2' }]);
    const { kernel, prefetch } = setup({ workloads, services: [...services, six] });
    prefetch.refresh();
    expect([...kernel.answers.keys()]).toEqual([toCart, `1 fd00::1 > ${cart.uid} fd00::2 8080`]);
  });

  it.each([
    ['policies deny', { workloads, services, policies: [deny('shop')] }],
    ['asks for HBONE', { workloads: [web, { ...cart, sameNode: 'hbone' as const }], services }],
    ['is on another node', { workloads: [web, { ...cart, node: 'node-b' as NodeName }], services }],
    ['is not in the mesh', { workloads: [web, { ...cart, protocol: 'tcp' as const }], services }],
    ['no Service leads to', { workloads, services: [] }],
    [
      'listens on a port of the mesh',
      { workloads, services: [service('shop/cart', '10.96.0.2', '80:15008', behind)] },
    ],
  ])('is asked about as ever where it is one that %s', (_, spec) => {
    const { kernel, prefetch } = setup(spec);
    prefetch.refresh();
    expect(kernel.answers.size).toBe(0);
  });
});

describe('a change', () => {
  it('that denies a pair leaves its answer outdated', async () => {
    const { mesh, kernel, prefetch, clock } = setup({ workloads, services });
    prefetch.refresh();
    mesh.replace({ workloads, services, policies: [deny('shop')], peerAuthentications: [] });
    await clock.advance(1_000);
    expect([kernel.generation, kernel.answers.get(toCart)]).toEqual([2n, 1n]);
  });

  it('has everything answered anew, by the new mesh', async () => {
    const { mesh, kernel, prefetch, clock } = setup({ workloads, services });
    prefetch.refresh();
    mesh.replace({ workloads, services, policies: [deny('elsewhere')], peerAuthentications: [] });
    await clock.advance(1_000);
    expect([...kernel.answers]).toEqual([[toCart, 2n]]);
  });

  it('of another node’s pods costs nothing', async () => {
    const { mesh, kernel, clock } = setup({ workloads, services });
    mesh.replace({ workloads: [web, cart], services, policies: [], peerAuthentications: [] });
    await clock.advance(1_000);
    expect(kernel.workNs).toBe(0n);
  });
});

describe('on a crowded node', () => {
  const crowd = Array.from({ length: 40 }, (_, i) => pod(`shop/p-${i}`, { ips: [`10.0.2.${i + 1}`] }));
  const all = service(
    'shop/all',
    '10.96.0.9',
    '80:8080',
    crowd.map(({ addresses: [ip = ''] }) => ({ address: ip })),
  );
  const spec = { workloads: crowd, services: [all] };

  it('it takes a tenth of a processor at most, and comes to its end', async () => {
    const { clock, kernel, prefetch } = setup(spec, { limit: 10_000 });
    const begun = clock.now();
    prefetch.refresh();
    expect(kernel.answers.size).toBeLessThan(100);
    while (kernel.answers.size < 40 * 39) {
      await clock.advance(10);
      expect(Number(kernel.workNs) / 1e6).toBeLessThanOrEqual(4 + (clock.now() - begun) / 9);
    }
  });

  it('a storm of changes gets no more of it', async () => {
    const { clock, kernel, prefetch } = setup(spec, { limit: 10_000 });
    for (let i = 0; i < 1_000; i++) {
      kernel.generation++;
      prefetch.refresh();
      await clock.advance(1);
    }
    expect(Number(kernel.workNs) / 1e6).toBeLessThan(120);
  });

  it('leaves room for what is asked about', async () => {
    const { clock, kernel, prefetch } = setup(spec);
    prefetch.refresh();
    await clock.advance(10_000);
    expect(kernel.answers.size).toBe(100);
  });

  it('a pod that comes in costs its own pairs only', async () => {
    const late = pod('shop/late', { ips: ['10.0.3.1'] });
    const { clock, kernel, prefetch, enrolled } = setup(
      { ...spec, workloads: [...crowd, late] },
      { limit: 10_000 },
    );
    const newcomer = enrolled.splice(40);
    prefetch.refresh();
    await clock.advance(10_000);
    const { workNs } = kernel;
    enrolled.push(...newcomer);
    prefetch.refresh();
    await clock.advance(10_000);
    expect(Number(kernel.workNs - workNs) / 100_000).toBe(40);
  });
});

describe('a policy engine that fails', () => {
  it('leaves everything to whoever dials, and does not hold up the mesh', async () => {
    const { mesh, clock, kernel } = setup(
      { workloads, services },
      {
        authorizer: () => {
          throw new Error('no');
        },
      },
    );
    mesh.replace({ workloads, services, policies: [deny('x')], peerAuthentications: [] });
    await clock.advance(1_000);
    expect([mesh.view.policies.size, kernel.answers.size]).toEqual([1, 0]);
  });
});
