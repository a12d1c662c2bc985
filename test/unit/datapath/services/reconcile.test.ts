/** The `services` and `endpoints` maps follow the mesh, and at no moment speak of what is not there. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { MeshError } from '../../../../src/base/errors.ts';
import { formatSocketAddress, parseIp, type Port } from '../../../../src/base/ip.ts';
import { type Logger, silentLogger } from '../../../../src/base/log.ts';
import type {
  EndpointEntry,
  EndpointKey,
  ServiceAddress,
  ServiceEntry,
} from '../../../../src/datapath/abi/service-layout.ts';
import { desiredChoices, type ServiceChoices } from '../../../../src/datapath/services/desired.ts';
import { ServiceReconciler } from '../../../../src/datapath/services/reconcile.ts';
import type { MeshState } from '../../../../src/model/mesh.ts';
import type { MeshStore } from '../../../../src/model/store.ts';
import { meshOf, pod, service } from '../../../support/mesh-builder.ts';
import { FakeMap } from './fake-map.ts';
import { anyState, scope } from './support.ts';

let services: FakeMap<ServiceAddress, ServiceEntry>;
let endpoints: FakeMap<EndpointKey, EndpointEntry>;
let errors: string[];
const log: Logger = { ...silentLogger, error: (_fields, message) => void errors.push(message) };

beforeEach(() => {
  services = new FakeMap();
  endpoints = new FakeMap();
  errors = [];
});

const start = (): ServiceReconciler =>
  new ServiceReconciler({ services, endpoints, sessionGeneration: () => 0, kernelPath: scope, log });

interface Drawable {
  readonly kernel: readonly string[];
  readonly total: number;
  readonly leaves: boolean;
  readonly sessionMs: number;
}

/** What the connect hook may draw at each address now. @throws if an entry speaks of an endpoint that is not there */
function drawable(): Record<string, Drawable> {
  const all = [...services.content.values()].map(([dialled, entry]) => {
    const { generation, kernel, total, flags, sessionMs } = entry;
    const targets = Array.from({ length: kernel }, (_, index) => {
      const key = { service: { ip: dialled.ip, port: dialled.port }, generation, index };
      const found = endpoints.content.get(JSON.stringify(key));
      if (found === undefined) throw new Error(`${JSON.stringify(key)} is not there`);
      return text(found[1]);
    });
    return [text(dialled), { kernel: targets, total, leaves: flags.leaves, sessionMs }] as const;
  });
  return Object.fromEntries(all);
}

const text = ({ ip, port }: ServiceAddress): string => formatSocketAddress({ ip, port: port as Port });

const wantedOf = (choices: ServiceChoices): ReturnType<typeof drawable> =>
  Object.fromEntries(
    [...choices.values()]
      .flat()
      .map(({ dialled, kernel, total, leaves, sessionMs = 0 }) => [
        formatSocketAddress(dialled),
        { kernel: kernel.map(formatSocketAddress), total, leaves, sessionMs },
      ]),
  );

const nothing = { workloads: [], services: [], policies: [], peerAuthentications: [] } satisfies MeshState;
const here = ['10.0.0.1', '10.0.0.2', '10.0.0.3'].map((ip) => pod(`shop/${ip}`, { ips: [ip] }));
const web = (...addresses: readonly string[]) =>
  service(
    'shop/web',
    '10.96.0.1',
    '80:8080',
    addresses.map((address) => ({ address })),
  );
const withWeb = (...addresses: readonly string[]): MeshState => ({
  ...nothing,
  workloads: here,
  services: [web(...addresses)],
});

/** The store, followed as the node program does. */
function follow(state: MeshState, reconciler = start()): MeshStore {
  const store = meshOf(state);
  reconciler.apply(store.view);
  store.subscribe((view, diff) => reconciler.apply(view, diff));
  return store;
}

it('they become what is wanted, whatever comes after what, and are whole at every moment on the way', () => {
  fc.assert(
    fc.property(fc.array(anyState(), { minLength: 1, maxLength: 6 }), (states) => {
      services = new FakeMap();
      endpoints = new FakeMap();
      services.written = drawable;
      endpoints.written = drawable;
      const reconciler = start();
      const store = follow(nothing, reconciler);
      for (const next of states) {
        store.replace(next);
        expect(drawable()).toEqual(wantedOf(desiredChoices(store.view, scope)));
        expect(reconciler.services).toBe(services.content.size);
        expect(reconciler.endpoints).toBe(endpoints.content.size);
      }
    }),
    { numRuns: 300 },
  );
});

it('what another node program left is taken over as it is, repaired, and never counted again', () => {
  const store = follow(withWeb('10.0.0.1', '10.0.0.2'));
  const before = new Map(services.content);
  const second = start();
  second.apply(store.view);
  expect(services.content).toEqual(before);

  // One endpoint is lost, and one is there that nobody speaks of.
  const [lost] = [...endpoints.content.keys()];
  endpoints.content.delete(lost ?? '');
  endpoints.set(
    { service: { ip: parseIp('10.96.0.7'), port: 1 }, generation: 900, index: 0 },
    { ip: parseIp('10.0.0.9'), port: 1 },
  );
  const third = start();
  third.apply(store.view);
  expect(drawable()).toEqual(wantedOf(desiredChoices(store.view, scope)));
  expect(endpoints.content.size).toBe(2);
  expect([...services.content.values()].map(([, { generation }]) => generation)).toEqual([901]);
});

it('a generation that a session bears is never given again, though no entry has it any more', () => {
  const store = follow(withWeb('10.0.0.1'));
  const next = new ServiceReconciler({
    services,
    endpoints,
    sessionGeneration: () => 41,
    kernelPath: scope,
    log,
  });
  next.apply(store.view);
  store.subscribe((view, diff) => next.apply(view, diff));
  store.replace(withWeb('10.0.0.1', '10.0.0.2'));
  expect([...services.content.values()].map(([, { generation }]) => generation)).toEqual([42]);
});

const withSessions = (timeoutMs: number, ...addresses: readonly string[]): MeshState => ({
  ...withWeb(),
  workloads: [...here, pod('shop/far', { ips: ['10.0.0.9'], node: 'node-b' })],
  services: [{ ...web(...addresses), affinityTimeoutMs: timeoutMs }],
});
const generation = (): number | undefined => [...services.content.values()][0]?.[1].generation;

describe('a Service with sessions', () => {
  it('has all of them confirmed when its endpoints here change, or how long sessions last', () => {
    const store = follow(withSessions(1000, '10.0.0.1'));
    expect(generation()).toBe(1);
    store.replace(withSessions(1000, '10.0.0.1', '10.0.0.2'));
    expect(generation()).toBe(2);
    store.replace(withSessions(2000, '10.0.0.1', '10.0.0.2'));
    expect(generation()).toBe(3);
    store.replace(withWeb('10.0.0.1', '10.0.0.2'));
    expect(generation()).toBe(4);
  });

  it('has none of them disturbed by endpoints elsewhere', () => {
    const store = follow(withSessions(1000, '10.0.0.1'));
    store.replace(withSessions(1000, '10.0.0.1', '10.0.0.9'));
    expect(generation()).toBe(1);
  });
});

it('an entry that is the same is not touched, and nothing is read for a change', () => {
  const store = follow(withWeb('10.0.0.1'));
  const reads = services.reads + endpoints.reads;
  const before = JSON.stringify([...services.content]);
  store.replace({ ...withWeb('10.0.0.1'), workloads: here.slice(0, 1) });
  expect(JSON.stringify([...services.content])).toBe(before);
  expect(services.reads + endpoints.reads).toBe(reads);
});

it('the zone of the node is for all Services', () => {
  const hinted = service('shop/web', '10.96.0.1', '80:8080', [
    { address: '10.0.0.1', zones: ['zone-1'] },
    { address: '10.0.0.2', zones: ['zone-2'] },
  ]);
  const state = (zone: string): MeshState => ({
    ...withWeb(),
    services: [hinted],
    nodes: [{ name: scope.node, zone }],
  });
  const store = follow(state('zone-1'));
  expect(drawable()['10.96.0.1:80']?.kernel).toEqual(['10.0.0.1:8080']);
  store.replace(state('zone-2'));
  expect(drawable()['10.96.0.1:80']?.kernel).toEqual(['10.0.0.2:8080']);
});

it('they are emptied where the kernel path is switched off', () => {
  const store = follow(withWeb('10.0.0.1'));
  expect(services.content.size + endpoints.content.size).toBe(2);
  new ServiceReconciler({
    services,
    endpoints,
    sessionGeneration: () => 0,
    kernelPath: undefined,
    log,
  }).apply(store.view);
  expect(services.content.size + endpoints.content.size).toBe(0);
});

describe('what does not fit', () => {
  it('is left to ztunnel as a whole, said once, and tried again with the next change', () => {
    endpoints.capacity = 2;
    const reconciler = start();
    const store = follow(withWeb('10.0.0.1', '10.0.0.2', '10.0.0.3'), reconciler);
    expect(services.content.size + endpoints.content.size).toBe(0);
    expect(reconciler.leftOut).toBe(1);
    store.replace({
      ...withWeb('10.0.0.1', '10.0.0.2', '10.0.0.3'),
      workloads: [...here, pod('a/b', { ips: ['10.9.9.9'] })],
    });
    expect(errors).toHaveLength(1);
    endpoints.capacity = 3;
    // A change that has nothing to do with it.
    store.replace(withWeb('10.0.0.1', '10.0.0.2', '10.0.0.3'));
    expect(drawable()['10.96.0.1:80']?.kernel).toHaveLength(3);
    expect(reconciler.leftOut).toBe(0);
  });

  it('has the room of what it replaces', () => {
    endpoints.capacity = 3;
    const store = follow(withWeb('10.0.0.1', '10.0.0.2'));
    store.replace(withWeb('10.0.0.2', '10.0.0.3'));
    expect(drawable()['10.96.0.1:80']?.kernel).toEqual(['10.0.0.2:8080', '10.0.0.3:8080']);
    expect(endpoints.content.size).toBe(2);
    expect(errors).toEqual([]);
  });

  it('leaves the old choice in force for nobody', () => {
    const store = follow(withWeb('10.0.0.1'));
    endpoints.capacity = 1;
    store.replace(withWeb('10.0.0.2', '10.0.0.3'));
    expect(drawable()).toEqual({});
    expect(endpoints.content.size).toBe(0);
  });
});

it('a write that fails for another reason takes the choice away, and the next change repairs everything', () => {
  const reconciler = start();
  const store = meshOf(withWeb('10.0.0.1'));
  reconciler.apply(store.view);
  services.failure = new MeshError('BPF_MAP', 'no memory');
  const stop = store.subscribe((view, diff) => {
    expect(() => reconciler.apply(view, diff)).toThrow('no memory');
  });
  store.replace(withWeb('10.0.0.2'));
  stop();
  expect(drawable()).toEqual({});
  services.failure = undefined;
  store.subscribe((view, diff) => reconciler.apply(view, diff));
  store.replace({ ...withWeb('10.0.0.2'), workloads: here.slice(0, 2) });
  expect(drawable()['10.96.0.1:80']?.kernel).toEqual(['10.0.0.2:8080']);
});
