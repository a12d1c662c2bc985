/** The destinations map follows the mesh, is repaired, and never silently lacks a meshed destination. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../src/base/errors.ts';
import { type IpAddress, parseIp } from '../../../src/base/ip.ts';
import { silentLogger } from '../../../src/base/log.ts';
import type { Destination } from '../../../src/datapath/abi/layout.ts';
import { DestinationReconciler } from '../../../src/datapath/reconcile.ts';
import { meshOf, pod, service } from '../../support/mesh-builder.ts';

const capacity = 4;

/** A map of limited size that notes whether it was read and written. */
class FakeMap {
  readonly content = new Map<IpAddress, Destination>();
  reads = 0;
  written = 0;
  failure: MeshError | undefined;

  entries(): [IpAddress, Destination][] {
    this.reads++;
    return [...this.content];
  }

  setAll(entries: readonly (readonly [IpAddress, Destination])[]): void {
    if (this.failure !== undefined) throw this.failure;
    for (const [ip, entry] of entries) {
      if (!this.content.has(ip) && this.content.size === capacity) {
        throw new MeshError('BPF_MAP_FULL', 'full');
      }
      this.content.set(ip, entry);
      this.written++;
    }
  }

  deleteAll(keys: readonly IpAddress[]): void {
    for (const ip of keys) this.content.delete(ip);
  }
}

let map: FakeMap;
let captureUnknown: boolean;
let reconciler: DestinationReconciler;
beforeEach(() => {
  map = new FakeMap();
  captureUnknown = true;
  reconciler = new DestinationReconciler({
    destinations: map,
    capacity,
    setCaptureUnknown: (on) => {
      captureUnknown = on;
    },
    log: silentLogger,
  });
});

const pods = (
  ...ips: string[]
): { workloads: ReturnType<typeof pod>[]; services: []; policies: []; peerAuthentications: [] } => ({
  workloads: ips.map((ip) => pod(`shop/p${ip}`, { ips: [ip] })),
  services: [],
  policies: [],
  peerAuthentications: [],
});

const web = (...endpoints: string[]) =>
  service(
    'shop/web',
    '10.96.0.1',
    '80:8080',
    endpoints.map((address) => ({ address })),
  );

const keys = (): string[] => [...map.content.keys()].toSorted();

describe('the destinations map', () => {
  it('is complete after the first time, and only then is absence taken at its word', () => {
    expect(captureUnknown).toBe(true);
    const result = reconciler.apply(meshOf(pods('10.0.0.1', '10.0.0.2')).view);
    expect(result).toEqual({ written: 2, deleted: 0, complete: true });
    expect(captureUnknown).toBe(false);
  });

  it('is repaired: what is missing or wrong is written, what is not wanted goes, the rest is not touched', () => {
    const store = meshOf(pods('10.0.0.1', '10.0.0.2', '10.0.0.3'));
    reconciler.apply(store.view);
    map.written = 0;
    map.content.delete(parseIp('10.0.0.1'));
    map.content.set(parseIp('10.0.0.2'), {
      flags: { workload: false, service: true, kernel: false, accelerate: false },
      label: 'forged',
    });
    const third = parseIp('10.0.0.3');
    map.content.set(third, {
      flags: { workload: true, service: false, kernel: false, accelerate: true },
      label: map.content.get(third)?.label ?? '',
    });
    map.content.set(parseIp('192.0.2.1'), {
      flags: { workload: true, service: false, kernel: false, accelerate: false },
      label: 'extra',
    });
    expect(reconciler.apply(store.view)).toEqual({ written: 3, deleted: 1, complete: true });
    expect(keys()).toEqual(['10.0.0.1', '10.0.0.2', '10.0.0.3']);
    expect(reconciler.apply(store.view)).toEqual({ written: 0, deleted: 0, complete: true });
    expect(reconciler.entries).toBe(3);
  });

  it('follows a change without being read', () => {
    const store = meshOf(pods('10.0.0.1'));
    reconciler.apply(store.view);
    const reads = map.reads;
    store.subscribe((view, diff) => reconciler.apply(view, diff));
    store.replace(pods('10.0.0.2', '10.0.0.3'));
    expect(keys()).toEqual(['10.0.0.2', '10.0.0.3']);
    expect(map.reads).toBe(reads);
  });

  it('is counted without being read, as it is after every change', () => {
    const store = meshOf(pods('10.0.0.1'));
    reconciler.apply(store.view);
    store.subscribe((view, diff) => reconciler.apply(view, diff));
    const outside = pod('shop/out', { ips: ['10.0.0.2'], protocol: 'tcp' });
    const sizes: number[] = [];
    for (const state of [
      { ...pods('10.0.0.1', '10.0.0.2'), services: [web('10.0.0.2')] },
      { ...pods('10.0.0.2', '10.0.0.3'), services: [web('10.0.0.2')] },
      { ...pods(), workloads: [outside], services: [web('10.0.0.2')] },
      { ...pods('10.0.0.3', '10.0.0.4'), services: [web()] },
      pods(),
    ]) {
      store.replace(state);
      expect(reconciler.entries).toBe(map.content.size);
      sizes.push(reconciler.entries);
    }
    expect(sizes).toEqual([3, 3, 0, 3, 0]);
  });
});

describe('a mesh that does not fit', () => {
  const crowd = pods('10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5');

  it('makes everything unknown be captured, until it fits', () => {
    const store = meshOf(crowd);
    expect(reconciler.apply(store.view).complete).toBe(false);
    expect(captureUnknown).toBe(true);
    expect(reconciler.entries).toBe(capacity);
    store.subscribe((view, diff) => reconciler.apply(view, diff));
    store.replace(pods('10.0.0.1', '10.0.0.5'));
    expect(captureUnknown).toBe(false);
    expect(reconciler.entries).toBe(2);
    expect(keys()).toEqual(['10.0.0.1', '10.0.0.5']);
  });

  it('does so when a change overflows it', () => {
    const store = meshOf(pods('10.0.0.1'));
    reconciler.apply(store.view);
    store.subscribe((view, diff) => reconciler.apply(view, diff));
    store.replace(crowd);
    expect(captureUnknown).toBe(true);
  });
});

describe('a write that fails for another reason', () => {
  it('is reported, and everything unknown is captured until one succeeds', () => {
    const { view } = meshOf(pods('10.0.0.1'));
    map.failure = new MeshError('BPF_MAP', 'no memory');
    captureUnknown = false;
    expect(() => reconciler.apply(view)).toThrow(map.failure);
    expect(captureUnknown).toBe(true);
    map.failure = undefined;
    expect(reconciler.apply(view).complete).toBe(true);
    expect(captureUnknown).toBe(false);
  });
});
