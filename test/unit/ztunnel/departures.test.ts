import { describe, expect, it } from '@jest/globals';
import type { MeshState, Workload } from '../../../src/model/mesh.ts';
import { type Departures, departuresIn } from '../../../src/ztunnel/departures.ts';
import { type MeshSpec, meshOf, pod, service } from '../../support/mesh-builder.ts';

const cart = pod('shop/cart', { ips: ['10.244.2.7', 'fd00::7'] });
const cartService = (...endpoints: Parameters<typeof service>[3]) =>
  service('shop/cart', '10.96.0.10', '80:8080', endpoints);

/** What a mesh that becomes another means for those who wait. */
function from(before: MeshSpec, after: MeshSpec): Record<string, string> {
  const store = meshOf(before);
  let seen: Departures = new Map();
  store.subscribe((view, diff) => (seen = departuresIn(view, diff)));
  const nothing: MeshState = { workloads: [], services: [], policies: [], peerAuthentications: [] };
  store.replace({ ...nothing, ...after });
  return Object.fromEntries(seen);
}

const changed = (change: Partial<Workload>): MeshSpec => ({ workloads: [{ ...cart, ...change }] });

describe('nobody waits for', () => {
  it('a pod that was deleted, on any of its addresses', () => {
    expect(from({ workloads: [cart] }, {})).toEqual({ '10.244.2.7': 'gone', 'fd00::7': 'gone' });
  });

  it('a tunnel to a pod that left the mesh', () => {
    expect(from({ workloads: [cart] }, changed({ protocol: 'tcp' }))).toMatchObject({ '10.244.2.7': 'gone' });
  });

  it('a pod alone that is being deleted', () => {
    expect(from({ workloads: [cart] }, changed({ terminating: true }))).toMatchObject({
      '10.244.2.7': 'leaving',
    });
  });

  it.each([
    ['is not ready any more', { ready: false }],
    ['is terminating', { terminating: true }],
  ])('an endpoint alone that %s', (_what, condition) => {
    const ready = { address: '10.244.2.7' };
    const other = { address: '10.244.2.8' };
    expect(
      from(
        { services: [cartService(ready, other)] },
        { services: [cartService({ ...ready, ...condition }, other)] },
      ),
    ).toEqual({ '10.244.2.7': 'leaving' });
  });

  it('an endpoint alone that was taken out of its Service', () => {
    expect(from({ services: [cartService({ address: '10.244.2.7' })] }, {})).toEqual({
      '10.244.2.7': 'leaving',
    });
  });
});

describe('everybody goes on waiting', () => {
  it('for a pod of which something else changed', () => {
    expect(from({ workloads: [cart] }, changed({ labels: { app: 'cart' } }))).toEqual({});
  });

  it('for an address that another pod has by now', () => {
    const heir = pod('shop/heir', { ips: ['10.244.2.7'] });
    expect(from({ workloads: [cart, heir] }, { workloads: [heir] })).toEqual({ 'fd00::7': 'gone' });
  });

  it('for a node whose host-network pod was deleted', () => {
    expect(from(changed({ hostNetwork: true, protocol: 'tcp' }), {})).toEqual({});
  });

  it('for an endpoint that was not to be preferred before either', () => {
    const slow = { address: '10.244.2.7', ready: false };
    expect(from({ services: [cartService(slow)] }, {})).toEqual({});
  });
});
