import { describe, expect, it } from '@jest/globals';
import { silentLogger } from '../../../src/base/log.ts';
import { parseIp } from '../../../src/base/ip.ts';
import type { Workload } from '../../../src/model/mesh.ts';
import { MeshStore } from '../../../src/model/store.ts';
import { meshConfig, pod } from '../../support/mesh-builder.ts';

const web = (ip: string, more: Partial<Workload> = {}): Workload => ({
  ...pod('shop/web', { ips: [ip] }),
  ...more,
});
const { uid } = web('10.1.0.5');

function setup(...sourced: readonly Workload[]) {
  const store = new MeshStore({ log: silentLogger }, meshConfig);
  const source = (...workloads: readonly Workload[]): void =>
    store.replace({ workloads, services: [], policies: [], peerAuthentications: [] });
  source(...sourced);
  return { store, source, addresses: () => store.view.workloads.get(uid)?.addresses };
}

describe('a pod that is announced before its source knows its address', () => {
  it('is in the model at once, and is told to everybody', () => {
    const { store, addresses } = setup();
    const told: unknown[] = [];
    store.subscribe((_view, { workloads }) => told.push(workloads.map(({ key }) => key)));
    store.announce(web('10.1.0.5'));
    expect(addresses()).toEqual(['10.1.0.5']);
    expect(store.view.workloadByIp(parseIp('10.1.0.5'))?.uid).toBe(uid);
    expect(told).toEqual([[uid]]);
  });

  it('stays while its source reports others only', () => {
    const { store, source, addresses } = setup();
    store.announce(web('10.1.0.5'));
    source(pod('shop/cart', { ips: ['10.1.0.9'] }));
    expect(addresses()).toEqual(['10.1.0.5']);
  });

  it('is the source’s once that reports it', () => {
    const { store, source, addresses } = setup();
    store.announce(web('10.1.0.5'));
    source(web('10.1.0.5', { labels: { app: 'web' } }));
    expect(store.view.workloads.get(uid)?.labels).toEqual({ app: 'web' });
    source();
    expect(addresses()).toBeUndefined();
  });

  it('keeps its new address while its source still reports that of an earlier sandbox', () => {
    const { store, source, addresses } = setup(web('10.1.0.5'));
    store.announce(web('10.1.0.77'));
    source(web('10.1.0.5', { terminating: true }));
    expect(addresses()).toEqual(['10.1.0.77']);
    expect(store.view.workloads.get(uid)?.terminating).toBe(true);
    source(); // the kubelet took the old address back
    expect(addresses()).toEqual(['10.1.0.77']);
    source(web('10.1.0.77'));
    source();
    expect(addresses()).toBeUndefined();
  });

  it('gives way to addresses of the source that are newer than itself', () => {
    const { store, source, addresses } = setup(web('10.1.0.5'));
    store.announce(web('10.1.0.77'));
    source(web('10.1.0.99'));
    expect(addresses()).toEqual(['10.1.0.99']);
  });

  it('is gone when the announcement is taken back, or as the source has it', () => {
    const { store, addresses } = setup();
    store.announce(web('10.1.0.5'));
    store.withdraw(uid);
    expect(addresses()).toBeUndefined();
    const known = setup(web('10.1.0.5'));
    known.store.announce(web('10.1.0.77'));
    known.store.withdraw(uid);
    expect(known.addresses()).toEqual(['10.1.0.5']);
  });

  it('changes nothing when it says what is known, in whatever order', () => {
    const both = { addresses: ['10.1.0.5', 'fd00::5'].map(parseIp) };
    const { store } = setup(web('10.1.0.5', both));
    const { version } = store.view;
    store.announce(web('10.1.0.5', { addresses: both.addresses.toReversed() }));
    store.withdraw(uid);
    expect(store.view.version).toBe(version);
  });
});
