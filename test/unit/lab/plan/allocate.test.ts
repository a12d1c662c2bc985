/** Which addresses new pods and Services get. */
import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import {
  allocateClusterIps,
  allocatePodIps,
  nextHost,
  servedFamilies,
} from '../../../../src/lab/plan/allocate.ts';
import { labNode, podHosts, podIps, serviceIps } from '../../../../src/lab/topology.ts';
import { pod, service } from '../objects.ts';

const node = labNode(1);

describe('a new pod’s addresses', () => {
  it('are of its node’s ranges, with the same number in both', () => {
    expect(allocatePodIps(node, [], 0)).toEqual({ host: 2, ips: ['10.244.1.2', 'fd10:244:1::2'] });
    expect(allocatePodIps(labNode(3), [], 16)).toEqual({ host: 17, ips: ['10.244.3.17', 'fd10:244:3::11'] });
  });

  it('do not come back at once when a pod was deleted', () => {
    expect(allocatePodIps(node, [], 2).host).toBe(3);
  });

  it('go round at the end of the range and skip what is taken', () => {
    const taken = [2, 3].map((host) => pod({ name: `p${host}`, ips: podIps(node, host) }));
    expect(allocatePodIps(node, taken, podHosts.last).host).toBe(4);
  });

  it('run out with an error that says what to do', () => {
    const all = Array.from({ length: 253 }, (_, i) => pod({ name: `p${i}`, ips: podIps(node, i + 2) }));
    expect(() => allocatePodIps(node, all, 7)).toThrow(
      expect.objectContaining({ code: 'OVERLOADED', hint: expect.stringContaining('--nodes') }),
    );
  });

  it('are never one that is taken, whatever was given out last', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 2, max: 40 })),
        fc.integer({ min: 0, max: 50 }),
        (taken, last) => {
          const host = nextHost({ first: 2, last: 40 }, last, (candidate) => taken.includes(candidate));
          if (taken.length === 39) expect(host).toBeUndefined();
          else expect(taken).not.toContain(host);
        },
      ),
    );
  });
});

describe('a new Service’s addresses', () => {
  it('are the lowest free pair', () => {
    const first = service('a', { clusterIPs: [...serviceIps(256)] });
    expect(allocateClusterIps([])).toEqual(['10.96.1.0', 'fd10:96::100']);
    expect(allocateClusterIps([first])).toEqual(['10.96.1.1', 'fd10:96::101']);
  });

  it('are of the families it asks for, the first one first', () => {
    const both = serviceIps(256);
    const [v4, v6] = both;
    expect(servedFamilies(service('a'), both)).toEqual([v4, v6]);
    expect(servedFamilies(service('a', { ipFamilyPolicy: 'SingleStack' }), both)).toEqual([v4]);
    expect(servedFamilies(service('a', { ipFamilies: ['IPv6'] }), both)).toEqual([v6]);
    const preferred = service('a', { ipFamilies: ['IPv6'], ipFamilyPolicy: 'PreferDualStack' });
    expect(servedFamilies(preferred, both)).toEqual([v6, v4]);
  });
});
