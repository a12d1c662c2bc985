/** The entries of the `egress` map say of every address what the objects mean. */
import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import type { NamespaceAccess } from '../../../../src/model/access.ts';
import { egressEntries, type EgressEntry } from '../../../../src/datapath/egress/desired.ts';
import { openPorts } from '../../../../src/datapath/egress/port-ranges.ts';
import { judgeEgress } from '../../../../src/policy/egress.ts';
import { egressRules } from '../../../../src/policy/egress-rules.ts';
import { access, KernelEgress, rule } from '../../../support/egress.ts';
import { meshOf, pod } from '../../../support/mesh-builder.ts';
import { anyAccesses, everyQuestion, meshWith, naive } from './support.ts';

const set = 7n;

function entriesFor(objects: readonly NamespaceAccess[]): readonly EgressEntry[] {
  const { view } = meshWith(objects);
  const rules = egressRules(objects, view.config);
  return rules === undefined ? [] : egressEntries(rules, view);
}

function loaded(entries: readonly EgressEntry[]): KernelEgress {
  const kernel = new KernelEgress();
  kernel.setAll(entries.map(({ bits, base, open }) => [{ set, bits, base }, { open }]));
  return kernel;
}

describe('the entries', () => {
  it('answer as the naive reading of the objects does, and as the reference that tells the reasons', () => {
    const allowed = { yes: 0, no: 0 };
    fc.assert(
      fc.property(anyAccesses, (objects) => {
        const { view } = meshWith(objects);
        const kernel = loaded(entriesFor(objects));
        const rules = egressRules(objects, view.config);
        for (const { ip, port, protocol } of everyQuestion) {
          const expected = naive(objects, view, ip, port, protocol);
          const found = kernel.allows(set, ip, port, protocol);
          const reference = rules === undefined || judgeEgress(rules, view, { ip, port, protocol }).allowed;
          if (found !== expected || reference !== expected) {
            throw new Error(
              `${ip}:${port}/${protocol}: expected ${expected}, kernel ${found}, reference ${reference}`,
            );
          }
          allowed[expected ? 'yes' : 'no']++;
        }
      }),
      { numRuns: 200 },
    );
    // Neither answer is rare.
    expect(Math.min(allowed.yes, allowed.no) / (allowed.yes + allowed.no)).toBeGreaterThan(0.1);
  });

  it('cover every address, whatever the objects say', () => {
    fc.assert(
      fc.property(anyAccesses, (objects) => {
        const whole = entriesFor(objects).filter(({ base }) => base === '0.0.0.0' || base === '::');
        expect(whole.map(({ bits }) => bits)).toEqual(expect.arrayContaining([0, 96]));
      }),
      { numRuns: 50 },
    );
  });

  it('are one for each prefix that is named, with the host bits gone', () => {
    const objects = [
      access('shop/a', { egress: { default: 'deny', rules: [rule('allow', '10.1.2.3/8 443/tcp')] } }),
    ];
    expect(entriesFor(objects)).toEqual([
      { base: '0.0.0.0', bits: 96, open: [] },
      { base: '10.0.0.0', bits: 104, open: [{ protocol: 'tcp', first: 443, last: 443 }] },
      {
        base: '10.96.0.10',
        bits: 128,
        open: [
          { protocol: 'tcp', first: 53, last: 53 },
          { protocol: 'tcp', first: 443, last: 443 },
          { protocol: 'udp', first: 53, last: 53 },
        ],
      },
      { base: '::', bits: 0, open: [] },
    ]);
  });

  it('of a namespace with 5 000 pods are made in a moment', () => {
    const workloads = Array.from({ length: 5_000 }, (_, i) =>
      pod(`big/p${i}`, { ips: [`10.100.${i >> 8}.${i & 255}`] }),
    );
    const object = access('shop/a', { egress: { default: 'deny', rules: [rule('allow', '@big 53/udp')] } });
    const { view } = meshOf({ workloads, access: [object] });
    const rules = egressRules([object], view.config);
    if (rules === undefined) throw new Error('no rules');
    const before = performance.now();
    expect(egressEntries(rules, view)).toHaveLength(5_002);
    expect(performance.now() - before).toBeLessThan(5_000);
  });
});

describe('open ports', () => {
  it('are as few ranges as possible: what touches is joined, what is denied is cut out', () => {
    const rules = [rule('allow', '10-19/tcp 20-30/tcp 25-40/tcp'), rule('deny', '15/tcp 38-99/tcp')];
    expect(openPorts(false, rules)).toEqual([
      { protocol: 'tcp', first: 10, last: 14 },
      { protocol: 'tcp', first: 16, last: 37 },
    ]);
    expect(openPorts(true, [rule('deny', 'tcp')])).toEqual([{ protocol: 'udp', first: 0, last: 65_535 }]);
    expect(openPorts(true, [rule('deny', '')])).toEqual([]);
  });
});
