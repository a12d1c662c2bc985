/** Of what the kernel draws: the very endpoints ztunnel would choose among, each as likely. */
import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { formatSocketAddress, parseIp } from '../../../../src/base/ip.ts';
import { destinationAt } from '../../../../src/datapath/desired.ts';
import {
  choicesAt,
  desiredChoices,
  type ServiceChoice,
  touchedServices,
} from '../../../../src/datapath/services/desired.ts';
import { endpointsToTry, targetOf } from '../../../../src/model/endpoint-choice.ts';
import type { MeshView } from '../../../../src/model/view.ts';
import { at, type MeshSpec, meshOf, pod, service } from '../../../support/mesh-builder.ts';
import { allPorts, allVips, anyState, scope } from './support.ts';

const here = pod('shop/here', { ips: ['10.0.0.1', 'fd00::1'] });
const beside = pod('shop/beside', { ips: ['10.0.0.2'] });
const far = pod('shop/far', { ips: ['10.0.0.3'], node: 'node-b' });
const outside = pod('shop/outside', { ips: ['10.0.0.4'], protocol: 'tcp' });
const workloads = [here, beside, far, outside];
const vip = parseIp('10.96.0.1');

const web = (...endpoints: Parameters<typeof service>[3]) =>
  service('shop/web', '10.96.0.1', '80:8080', endpoints);

const chosen = (spec: MeshSpec): readonly ServiceChoice[] =>
  choicesAt(meshOf({ workloads, ...spec }).view, vip, scope);

describe('where an endpoint takes the kernel path', () => {
  it('it is among as many as ztunnel would choose from', () => {
    const services = [web({ address: '10.0.0.1' }, { address: '10.0.0.3' }, { address: '10.0.0.2' })];
    expect(chosen({ services })).toEqual([
      {
        dialled: at('10.96.0.1:80'),
        kernel: [at('10.0.0.1:8080'), at('10.0.0.2:8080')],
        total: 3,
        leaves: false,
        sessionMs: undefined,
      },
    ]);
  });

  it('it is told if some are outside the mesh', () => {
    const services = [web({ address: '10.0.0.1' }, { address: '10.0.0.4' })];
    expect(chosen({ services })).toMatchObject([{ total: 2, leaves: true }]);
  });

  it('and clients have sessions, only those that they may go on with in the kernel are told', () => {
    const sticky = {
      ...web({ address: '10.0.0.1' }, { address: '10.0.0.3' }, { address: '10.0.0.4' }),
      affinityTimeoutMs: 1000,
    };
    expect(chosen({ services: [sticky] })).toEqual([
      {
        dialled: at('10.96.0.1:80'),
        kernel: [at('10.0.0.1:8080')],
        total: 1,
        leaves: false,
        sessionMs: 1000,
      },
    ]);
  });

  it('one that asks for HBONE, or serves on a port of the mesh, is one of the others', () => {
    const asking = { ...beside, sameNode: 'hbone' as const };
    const services = [web({ address: '10.0.0.1' }, { address: '10.0.0.2' })];
    expect(chosen({ services, workloads: [here, asking] })).toMatchObject([
      { kernel: [at('10.0.0.1:8080')], total: 2 },
    ]);
    const odd = service('shop/web', '10.96.0.1', '80:15008', [{ address: '10.0.0.1' }]);
    expect(chosen({ services: [odd] })).toEqual([]);
  });
});

describe('there is nothing to draw', () => {
  it('where no endpoint takes the kernel path, or it is switched off', () => {
    const services = [web({ address: '10.0.0.3' }, { address: '10.0.0.4' })];
    expect(chosen({ services })).toEqual([]);
    const { view } = meshOf({ workloads, services: [web({ address: '10.0.0.1' })] });
    expect(choicesAt(view, vip, undefined)).toEqual([]);
    expect(choicesAt(view, parseIp('10.0.0.1'), scope)).toEqual([]);
  });
});

/** As ztunnel goes about it, for a pod of this node. */
const reference = (view: MeshView, dialled: ReturnType<typeof at>): readonly string[] => {
  const dialledService = view.serviceByVip(dialled.ip);
  if (dialledService === undefined) return [];
  const from = { node: scope.node, zone: view.nodes.get(scope.node)?.zone };
  return endpointsToTry(view, dialledService, dialled, from, { tried: new Set(), isSuspect: () => false })
    .map((endpoint) => targetOf(endpoint, dialled.port))
    .filter((target) => target !== undefined)
    .map(formatSocketAddress);
};

it('agrees with ztunnel’s choice in every mesh: the same candidates, and those the kernel carries among them', () => {
  let drawn = 0;
  fc.assert(
    fc.property(anyState({ isOwned: true }), (state) => {
      const { view } = meshOf(state);
      for (const ip of allVips) {
        const choices = choicesAt(view, ip, scope);
        for (const port of allPorts) {
          const choice = choices.find(({ dialled }) => dialled.port === port);
          const candidates = reference(view, { ip, port });
          const carried = candidates.filter((text) => {
            const target = at(text);
            return target.port !== 15008 && destinationAt(view, target.ip, scope)?.flags.kernel === true;
          });
          const sessionMs = view.serviceByVip(ip)?.affinityTimeoutMs;
          if (carried.length === 0) {
            expect(choice).toBeUndefined();
            continue;
          }
          drawn++;
          expect(choice?.sessionMs).toBe(sessionMs);
          expect(choice?.total).toBe(sessionMs === undefined ? candidates.length : carried.length);
          expect(choice?.kernel.map(formatSocketAddress)).toEqual(carried);
        }
      }
    }),
    { numRuns: 1000 },
  );
  // Else nothing was compared.
  expect(drawn).toBeGreaterThan(100);
});

it('step by step leads where computing everything anew does', () => {
  fc.assert(
    fc.property(fc.array(anyState(), { minLength: 1, maxLength: 6 }), (states) => {
      const store = meshOf({ nodes: [{ name: scope.node, zone: undefined }] });
      const map = new Map(desiredChoices(store.view, scope));
      store.subscribe((view, diff) => {
        // Of the node itself everything is computed anew (`reconcile.ts`).
        if (diff.nodes.length > 0) {
          map.clear();
          for (const [ip, choices] of desiredChoices(view, scope)) map.set(ip, choices);
          return;
        }
        for (const ip of touchedServices(view, diff)) {
          const choices = choicesAt(view, ip, scope);
          if (choices.length === 0) map.delete(ip);
          else map.set(ip, choices);
        }
      });
      for (const next of states) {
        store.replace(next);
        expect(Object.fromEntries(map)).toEqual(Object.fromEntries(desiredChoices(store.view, scope)));
      }
    }),
    { numRuns: 500 },
  );
});

const ipOf = (i: number): string => `10.${1 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`;
const vipOf = (i: number): string => `10.96.${i >> 8}.${i & 255}`;

describe('in a big mesh', () => {
  const crowd = Array.from({ length: 20_000 }, (_, i) =>
    pod(`shop/p${i}`, { ips: [ipOf(i)], node: i < 50 ? 'node-a' : `node-${i % 500}` }),
  );
  const services = Array.from({ length: 1000 }, (_, i) =>
    service(
      `shop/s${i}`,
      vipOf(i),
      '80:8080',
      Array.from({ length: 20 }, (__, j) => ({ address: ipOf(i * 20 + j) })),
    ),
  );

  it('there are entries for what runs on the node, and no more', () => {
    const { view } = meshOf({ workloads: crowd, services });
    const choices = desiredChoices(view, scope);
    expect([...choices.keys()]).toEqual(['10.96.0.0', '10.96.0.1', '10.96.0.2']);
    expect([...choices.values()].flat().flatMap(({ kernel }) => kernel)).toHaveLength(50);
  });

  it('a change costs what it touches', () => {
    const store = meshOf({ workloads: crowd, services });
    const touched: number[] = [];
    store.subscribe((view, diff) => touched.push(touchedServices(view, diff).size));
    const [first = here, ...others] = crowd;
    const become = (changed: typeof here): void =>
      store.replace({ workloads: [changed, ...others], services, policies: [], peerAuthentications: [] });
    become({ ...first, sameNode: 'hbone' });
    // Nothing of a choice is made of it.
    become({ ...first, sameNode: 'hbone', labels: { changed: 'yes' } });
    expect(touched).toEqual([1, 0]);
  });
});
