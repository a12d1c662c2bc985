import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { type IpAddress, parseIp } from '../../../src/base/ip.ts';
import { type Logger, silentLogger } from '../../../src/base/log.ts';
import {
  type MeshState,
  type Service,
  serviceKey,
  type Workload,
  type WorkloadUid,
} from '../../../src/model/mesh.ts';
import { type AuthorizationPolicy, policyKey } from '../../../src/model/policy.ts';
import { MeshStore } from '../../../src/model/store.ts';
import type { MeshDiff, MeshView } from '../../../src/model/view.ts';
import { meshConfig, pod, service } from '../../support/mesh-builder.ts';

const newStore = (log: Logger = silentLogger): MeshStore => new MeshStore({ log }, meshConfig);

const stateOf = (state: Partial<MeshState>): MeshState => ({
  workloads: [],
  services: [],
  policies: [],
  peerAuthentications: [],
  ...state,
});

const terminating = (workload: Workload): Workload => ({ ...workload, terminating: true });

const ip = (text: string): IpAddress => parseIp(text);

const web = pod('shop/web', { ips: ['10.0.0.1', 'fd00::1'] });
const api = pod('shop/api', { ips: ['10.0.0.2'] });
const webService = service('shop/web', '10.96.0.1', '80:8080', [{ address: '10.0.0.1' }]);
const denyAll: AuthorizationPolicy = {
  key: policyKey('shop', 'deny-all'),
  namespace: 'shop',
  name: 'deny-all',
  action: 'deny',
  scope: { type: 'namespace' },
  rules: [{}],
};

/** The same content in new objects all the way down (structuredClone makes them of another realm under jest). */
const copyOf = <T>(value: T): T => deepCopy(value) as T;

function deepCopy(value: unknown): unknown {
  if (value instanceof Map) return new Map(value);
  if (Array.isArray(value)) return value.map(deepCopy);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, deepCopy(item)]));
}

function recorded(store: MeshStore): { readonly view: MeshView; readonly diff: MeshDiff }[] {
  const seen: { view: MeshView; diff: MeshDiff }[] = [];
  store.subscribe((view, diff) => void seen.push({ view, diff }));
  return seen;
}

describe('the mesh store', () => {
  it('starts empty at version 0', () => {
    const { view } = newStore();
    expect(view.version).toBe(0);
    expect(view.config).toBe(meshConfig);
    expect(view.workloadByIp(ip('10.0.0.1'))).toBeUndefined();
    expect(view.servicesOfEndpoint(ip('10.0.0.1'))).toEqual([]);
  });

  it('finds workloads by each address, services by virtual address and by endpoint', () => {
    const store = newStore();
    store.replace(stateOf({ workloads: [web, api], services: [webService] }));
    const { view } = store;
    expect(view.workloadByIp(ip('10.0.0.1'))).toBe(web);
    expect(view.workloadByIp(ip('fd00::1'))).toBe(web);
    expect(view.serviceByVip(ip('10.96.0.1'))).toBe(webService);
    expect(view.servicesOfEndpoint(ip('10.0.0.1'))).toEqual([webService]);
    expect(view.servicesOfEndpoint(ip('10.0.0.2'))).toEqual([]);
    expect(view.workloads.get(api.uid)).toBe(api);
    expect(view.services.get(webService.key)).toBe(webService);
  });

  it('tells what was added, changed and removed, and nothing else', () => {
    const store = newStore();
    store.replace(stateOf({ workloads: [web, api], policies: [denyAll] }));
    const seen = recorded(store);
    const movedWeb = { ...web, addresses: [ip('10.0.0.9')] };
    store.replace(stateOf({ workloads: [movedWeb], services: [webService], policies: [copyOf(denyAll)] }));
    expect(seen).toHaveLength(1);
    expect(seen[0]?.diff).toEqual({
      access: [],
      nodes: [],
      workloads: [
        { key: web.uid, before: web, after: movedWeb },
        { key: api.uid, before: api, after: undefined },
      ],
      services: [{ key: webService.key, before: undefined, after: webService }],
      policies: [],
      peerAuthentications: [],
    });
    expect(seen[0]?.view).toBe(store.view);
  });

  it('says nothing and keeps its version when a state says nothing new', () => {
    const store = newStore();
    store.replace(stateOf({ workloads: [web], services: [webService], policies: [denyAll] }));
    const seen = recorded(store);
    const before = store.view;
    store.replace(copyOf(stateOf({ workloads: [web], services: [webService], policies: [denyAll] })));
    expect(seen).toEqual([]);
    expect(store.view).toBe(before);
  });

  it('keeps the identity of objects that did not change, so that readers can cache by object', () => {
    const store = newStore();
    store.replace(stateOf({ workloads: [web, api], services: [webService], policies: [denyAll] }));
    const before = store.view;
    store.replace(copyOf(stateOf({ workloads: [web], services: [webService], policies: [denyAll] })));
    const after = store.view;
    expect(after.version).toBe(before.version + 1);
    expect(after.workloads.get(web.uid)).toBe(web);
    expect(after.serviceByVip(ip('10.96.0.1'))).toBe(webService);
    expect(after.policies).toBe(before.policies);
    expect(after.services).toBe(before.services);
    expect(after.workloads).not.toBe(before.workloads);
  });

  it('leaves old versions as they were', () => {
    const store = newStore();
    store.replace(stateOf({ workloads: [web], services: [webService] }));
    const before = store.view;
    store.replace(stateOf({ workloads: [api] }));
    expect(before.workloadByIp(ip('10.0.0.1'))).toBe(web);
    expect(before.workloadByIp(ip('10.0.0.2'))).toBeUndefined();
    expect(before.servicesOfEndpoint(ip('10.0.0.1'))).toEqual([webService]);
    expect([...before.workloads.keys()]).toEqual([web.uid]);
    expect(store.view.workloadByIp(ip('10.0.0.1'))).toBeUndefined();
  });

  it('notices a change inside an endpoint’s ports', () => {
    const store = newStore();
    store.replace(stateOf({ services: [webService] }));
    const moved = service('shop/web', '10.96.0.1', '80:9090', [{ address: '10.0.0.1' }]);
    store.replace(stateOf({ services: [moved] }));
    expect(store.view.serviceByVip(ip('10.96.0.1'))).toBe(moved);
  });
});

describe('an address that several claim', () => {
  it('is never a host-network workload’s, which shares its node’s', () => {
    const store = newStore();
    const agent = { ...pod('kube-system/agent', { ips: ['10.0.0.1'] }), hostNetwork: true };
    store.replace(stateOf({ workloads: [web, agent] }));
    expect(store.view.workloadByIp(ip('10.0.0.1'))).toBe(web);
    store.replace(stateOf({ workloads: [agent] }));
    expect(store.view.workloadByIp(ip('10.0.0.1'))).toBeUndefined();
  });

  const old = pod('shop/old', { ips: ['10.0.0.1'] });
  const young = pod('shop/young', { ips: ['10.0.0.1'] });

  it('is the newer pod’s when a pod’s address is used again', () => {
    const store = newStore();
    store.replace(stateOf({ workloads: [old] }));
    store.replace(stateOf({ workloads: [young, old] }));
    expect(store.view.workloadByIp(ip('10.0.0.1'))).toBe(young);
  });

  it('is the later in the list’s when both come at once', () => {
    const store = newStore();
    store.replace(stateOf({ workloads: [old, young] }));
    expect(store.view.workloadByIp(ip('10.0.0.1'))).toBe(young);
  });

  it('stays the newer pod’s when the older one merely changes', () => {
    const store = newStore();
    store.replace(stateOf({ workloads: [old, young] }));
    store.replace(stateOf({ workloads: [{ ...old, labels: { a: 'b' } }, young] }));
    expect(store.view.workloadByIp(ip('10.0.0.1'))).toBe(young);
  });

  it('is the one’s that is not terminating, whichever is newer', () => {
    const store = newStore();
    store.replace(stateOf({ workloads: [old, terminating(young)] }));
    expect(store.view.workloadByIp(ip('10.0.0.1'))).toBe(old);
    store.replace(stateOf({ workloads: [terminating(old), terminating(young)] }));
    expect(store.view.workloadByIp(ip('10.0.0.1'))?.name).toBe('young');
  });

  it('falls to the other when one goes', () => {
    const store = newStore();
    store.replace(stateOf({ workloads: [old, young] }));
    store.replace(stateOf({ workloads: [old] }));
    expect(store.view.workloadByIp(ip('10.0.0.1'))).toBe(old);
  });

  it('is the first service’s by name when two services claim a virtual address', () => {
    const store = newStore();
    const other = service('shop/another', '10.96.0.1', '80:80', []);
    store.replace(stateOf({ services: [webService, other] }));
    expect(store.view.serviceByVip(ip('10.96.0.1'))).toBe(other);
  });

  it('may be an endpoint of many services, listed in order of their names', () => {
    const store = newStore();
    const admin = service('shop/admin', '10.96.0.2', '81:81', [{ address: '10.0.0.1' }]);
    store.replace(stateOf({ services: [webService, admin] }));
    expect(store.view.servicesOfEndpoint(ip('10.0.0.1'))).toEqual([admin, webService]);
  });
});

describe('listeners of the mesh store', () => {
  it('are called in order, until they leave', () => {
    const store = newStore();
    const calls: string[] = [];
    const leave = store.subscribe(() => void calls.push('first'));
    store.subscribe(() => void calls.push('second'));
    store.replace(stateOf({ workloads: [web] }));
    leave();
    store.replace(stateOf({}));
    expect(calls).toEqual(['first', 'second', 'second']);
  });

  it('do not stop one another by throwing; the error is logged', () => {
    const errors: unknown[] = [];
    const store = newStore({ ...silentLogger, error: (fields) => void errors.push(fields['err']) });
    const failure = new Error('listener');
    store.subscribe(() => {
      throw failure;
    });
    const seen = recorded(store);
    store.replace(stateOf({ workloads: [web] }));
    expect(errors).toEqual([failure]);
    expect(seen).toHaveLength(1);
  });

  it('may not write: there is one writer', () => {
    const errors: unknown[] = [];
    const store = newStore({ ...silentLogger, error: (fields) => void errors.push(fields['err']) });
    store.subscribe(() => store.replace(stateOf({})));
    store.replace(stateOf({ workloads: [web] }));
    expect(errors).toEqual([expect.objectContaining({ code: 'INTERNAL' })]);
    expect(store.view.workloadByIp(ip('10.0.0.1'))).toBe(web);
    store.replace(stateOf({ workloads: [api] }));
    expect(store.view.workloadByIp(ip('10.0.0.2'))).toBe(api);
  });
});

describe('indexes kept change by change', () => {
  const address = fc.integer({ min: 1, max: 6 }).map((n) => ip(`10.0.0.${n}`));

  const workload = fc
    .record({
      id: fc.integer({ min: 1, max: 8 }),
      addresses: fc.uniqueArray(address, { maxLength: 2 }),
      hostNetwork: fc.boolean(),
      terminating: fc.boolean(),
    })
    .map(({ id, ...facts }): Workload => ({ ...pod(`ns/p${id}`, { ips: [] }), ...facts }));

  const serviceIn = fc
    .record({
      id: fc.integer({ min: 1, max: 4 }),
      vips: fc.uniqueArray(address, { maxLength: 2 }),
      endpoints: fc.uniqueArray(address, { maxLength: 3 }),
    })
    .map(({ id, vips, endpoints }): Service => ({
      ...service(
        `ns/s${id}`,
        '10.96.0.1',
        '80:80',
        endpoints.map((each) => ({ address: each })),
      ),
      key: serviceKey('ns', `s${id}`),
      vips,
    }));

  const state = fc.record({
    workloads: fc.uniqueArray(workload, { selector: ({ uid }) => uid, maxLength: 8 }),
    services: fc.uniqueArray(serviceIn, { selector: ({ key }) => key, maxLength: 4 }),
    policies: fc.constant([]),
    peerAuthentications: fc.constant([]),
  });

  it('agree with a search through the whole state, after any history', () => {
    fc.assert(
      fc.property(fc.array(state, { minLength: 1, maxLength: 8 }), (history) => {
        const store = newStore();
        const arrivals: WorkloadUid[] = [];
        for (const each of history) {
          store.replace(each);
          rememberArrivals(arrivals, each.workloads);
          for (const host of [1, 2, 3, 4, 5, 6]) {
            expectSameAsSearch(store.view, each, { arrivals, address: ip(`10.0.0.${host}`) });
          }
          expect([...store.view.workloads.values()]).toEqual(expect.arrayContaining([...each.workloads]));
          expect(store.view.workloads.size).toBe(each.workloads.length);
        }
      }),
      { numRuns: 200 },
    );
  });
});

function rememberArrivals(arrivals: WorkloadUid[], workloads: readonly Workload[]): void {
  const present = new Set(workloads.map(({ uid }) => uid));
  const kept = arrivals.filter((uid) => present.has(uid));
  const fresh = workloads.map(({ uid }) => uid).filter((uid) => !kept.includes(uid));
  arrivals.splice(0, arrivals.length, ...kept, ...fresh);
}

interface Search {
  readonly arrivals: readonly WorkloadUid[];
  readonly address: IpAddress;
}

function expectSameAsSearch(view: MeshView, state: MeshState, { arrivals, address }: Search): void {
  const claimants = state.workloads
    .filter((each) => !each.hostNetwork && each.addresses.includes(address))
    .toSorted((a, b) => arrivals.indexOf(a.uid) - arrivals.indexOf(b.uid));
  const owner = claimants.findLast((each) => !each.terminating) ?? claimants.at(-1);
  expect(view.workloadByIp(address)).toEqual(owner);
  const services = state.services.toSorted((a, b) => (a.key < b.key ? -1 : 1));
  expect(view.serviceByVip(address)).toEqual(services.find((each) => each.vips.includes(address)));
  expect(view.servicesOfEndpoint(address)).toEqual(
    services.filter((each) => each.endpoints.some((endpoint) => endpoint.address === address)),
  );
}
