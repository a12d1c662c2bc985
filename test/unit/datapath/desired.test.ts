/** Which addresses enrolled pods reach through ztunnel only. */
import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { parseIp } from '../../../src/base/ip.ts';
import {
  changedDestinations,
  desiredDestinations,
  destinationAt,
  type KernelPathScope,
} from '../../../src/datapath/desired.ts';
import type { MeshState, NodeName, Service, Workload, WorkloadUid } from '../../../src/model/mesh.ts';
import { meshOf, pod, service } from '../../support/mesh-builder.ts';

const web = pod('shop/web', { ips: ['10.0.0.1', 'fd00::1'] });
const plain = pod('shop/plain', { ips: ['10.0.0.2'], protocol: 'tcp' });

const at = (state: Partial<MeshState>, ip: string): ReturnType<typeof destinationAt> =>
  destinationAt(meshOf(state).view, parseIp(ip));

describe('an address is captured', () => {
  it('when a workload in the mesh has it, in either family', () => {
    const expected = {
      flags: { workload: true, service: false, kernel: false, accelerate: false },
      label: 'shop/web',
    };
    expect(at({ workloads: [web] }, '10.0.0.1')).toEqual(expected);
    expect(at({ workloads: [web] }, 'fd00::1')).toEqual(expected);
  });

  it('when it is a Service’s and any endpoint is in the mesh, ready or not', () => {
    const mixed = service('shop/api', '10.96.0.1', '80:8080', [
      { address: '10.0.0.2' },
      { address: '10.0.0.1', ready: false },
    ]);
    expect(at({ workloads: [web, plain], services: [mixed] }, '10.96.0.1')).toEqual({
      flags: { workload: false, service: true, kernel: false, accelerate: false },
      label: 'shop/api',
    });
  });

  it('when it is a Service’s whose endpoint is a pod of the mesh, or an unknown one, at an address not known to be its own', () => {
    const api = service('shop/api', '10.96.0.1', '80:8080', [{ address: '10.0.0.2' }]);
    const ofPod = (uid: WorkloadUid): Service => ({
      ...api,
      endpoints: api.endpoints.map((endpoint) => ({ ...endpoint, pod: uid })),
    });
    const isCaptured = (uid: WorkloadUid, ...workloads: readonly Workload[]): boolean =>
      at({ workloads, services: [ofPod(uid)] }, '10.96.0.1') !== undefined;
    expect(isCaptured(web.uid, web)).toBe(true);
    expect(isCaptured(web.uid, web, plain)).toBe(true);
    expect(isCaptured(web.uid, plain)).toBe(true);
    expect(isCaptured(plain.uid, web, plain)).toBe(false);
    expect(isCaptured(plain.uid, web, { ...plain, addresses: [] })).toBe(false);
  });

  it('when it is a Service’s that has no endpoints: ztunnel says so at once', () => {
    const empty = service('shop/api', '10.96.0.1', '80:8080', []);
    expect(at({ services: [empty] }, '10.96.0.1')?.flags.service).toBe(true);
  });
});

describe('an address is left alone', () => {
  it('when nobody is known by it', () => {
    expect(at({ workloads: [web] }, '192.0.2.1')).toBeUndefined();
  });

  it('when its workload takes plain TCP, or shares the node’s network', () => {
    expect(at({ workloads: [plain] }, '10.0.0.2')).toBeUndefined();
    expect(at({ workloads: [{ ...web, hostNetwork: true }] }, '10.0.0.1')).toBeUndefined();
  });

  it('when it is a Service’s of which no endpoint is in the mesh', () => {
    const outside = service('shop/api', '10.96.0.1', '80:8080', [
      { address: '10.0.0.2' },
      { address: '192.0.2.7' },
    ]);
    expect(at({ workloads: [plain], services: [outside] }, '10.96.0.1')).toBeUndefined();
    const onHost = { ...web, addresses: [parseIp('192.0.2.7')], hostNetwork: true };
    expect(at({ workloads: [plain, onHost], services: [outside] }, '10.96.0.1')).toBeUndefined();
    // Which endpoints a client may use is asked of captured Services alone: kube-proxy decides of this one.
    const ruled = { ...outside, nodeLocal: true, affinityTimeoutMs: 60_000 } as const;
    expect(at({ workloads: [plain], services: [ruled] }, '10.96.0.1')).toBeUndefined();
  });
});

describe('following changes', () => {
  const ips = ['10.0.0.1', '10.0.0.2', '10.0.0.3', 'fd00::1'].map(parseIp);
  const vips = ['10.96.0.1', '10.96.0.2', 'fd96::1'].map(parseIp);

  const workload: fc.Arbitrary<Workload> = fc
    .record({
      name: fc.constantFrom('a', 'b', 'c', 'd'),
      addresses: fc.uniqueArray(fc.constantFrom(...ips), { maxLength: 2 }),
      protocol: fc.constantFrom('hbone', 'tcp'),
      hostNetwork: fc.boolean(),
    })
    .map(({ name, ...spec }) => ({
      ...pod(`shop/${name}`, { ips: [] }),
      ...spec,
      uid: name as WorkloadUid,
    }));

  const someService: fc.Arbitrary<Service> = fc
    .record({
      name: fc.constantFrom('x', 'y', 'z'),
      vips: fc.uniqueArray(fc.constantFrom(...vips), { maxLength: 2 }),
      endpoints: fc.uniqueArray(fc.constantFrom(...ips), { maxLength: 3 }),
    })
    .map(({ name, vips: own, endpoints }) => ({
      ...service(
        `shop/${name}`,
        '10.96.0.9',
        '80:8080',
        endpoints.map((address) => ({ address })),
      ),
      vips: own,
    }));

  const state: fc.Arbitrary<MeshState> = fc.record({
    workloads: fc.uniqueArray(workload, { maxLength: 4, selector: ({ uid }) => uid }),
    services: fc.uniqueArray(someService, { maxLength: 3, selector: ({ key }) => key }),
    policies: fc.constant([]),
    peerAuthentications: fc.constant([]),
  });

  it('step by step leads where computing everything anew does', () => {
    fc.assert(
      fc.property(fc.array(state, { minLength: 1, maxLength: 6 }), (states) => {
        const store = meshOf({});
        const map = desiredDestinations(store.view);
        store.subscribe((view, diff) => {
          const { wanted, unwanted } = changedDestinations(view, diff);
          for (const ip of unwanted) map.delete(ip);
          for (const [ip, entry] of wanted) map.set(ip, entry);
        });
        for (const next of states) {
          store.replace(next);
          expect(Object.fromEntries(map)).toEqual(Object.fromEntries(desiredDestinations(store.view)));
        }
      }),
      { numRuns: 500 },
    );
  });

  it('costs what the change touches, not the size of the mesh', () => {
    const crowd = Array.from({ length: 1000 }, (_, i) =>
      pod(`shop/p${i}`, { ips: [`10.1.${i >> 8}.${i & 255}`] }),
    );
    const store = meshOf({ workloads: crowd });
    const touched: number[] = [];
    store.subscribe((view, diff) => {
      const { wanted, unwanted } = changedDestinations(view, diff);
      touched.push(wanted.size + unwanted.length);
    });
    store.replace({ workloads: [...crowd, web], services: [], policies: [], peerAuthentications: [] });
    expect(touched).toEqual([2]);
  });
});

describe('a pod takes the kernel path', () => {
  const scope = { node: web.node };
  const takes = (workload: Workload, within: KernelPathScope | undefined = scope): boolean | undefined =>
    destinationAt(meshOf({ workloads: [workload] }).view, parseIp('10.0.0.1'), within)?.flags.kernel;

  it('on the node itself, where it is switched on', () => {
    expect(takes(web)).toBe(true);
    expect(takes(web, { node: 'node-z' as NodeName })).toBe(false);
    expect(destinationAt(meshOf({ workloads: [web] }).view, parseIp('10.0.0.1'))?.flags.kernel).toBe(false);
  });

  it('unless it asks for HBONE', () => {
    expect(takes({ ...web, sameNode: 'hbone' })).toBe(false);
  });

  it('in the mesh only', () => {
    expect(takes({ ...web, protocol: 'tcp' })).toBeUndefined();
    expect(takes({ ...web, hostNetwork: true })).toBeUndefined();
  });

  it('not under an address that is a Service’s, too', () => {
    const odd = service('shop/odd', '10.0.0.1', '80:8080', [{ address: '10.0.0.1' }]);
    const { view } = meshOf({ workloads: [web], services: [odd] });
    expect(destinationAt(view, parseIp('10.0.0.1'), scope)?.flags.kernel).toBe(false);
  });
});

const may = (
  wish: boolean | undefined,
  accelerate: KernelPathScope['accelerate'],
  change: Partial<Workload> = {},
): boolean | undefined => {
  const workload = { ...web, ...change, ...(wish !== undefined && { accelerate: wish }) };
  const within = { node: web.node, ...(accelerate && { accelerate }) };
  return destinationAt(meshOf({ workloads: [workload] }).view, parseIp('10.0.0.1'), within)?.flags.accelerate;
};

describe('connections of a pod may be accelerated', () => {
  it.each([
    [undefined, true, false],
    [undefined, undefined, false],
    ['auto', true, true],
    ['auto', undefined, false],
    ['auto', false, false],
    ['forced', true, true],
    ['forced', undefined, true],
    ['forced', false, false],
  ] as const)('switched %s, where it says %s: %s', (mode, wish, expected) => {
    expect(may(wish, mode)).toBe(expected);
  });

  it('on the kernel path only', () => {
    expect(may(true, 'forced', { sameNode: 'hbone' })).toBe(false);
    expect(may(true, 'forced', { node: 'node-z' as NodeName })).toBe(false);
  });
});
