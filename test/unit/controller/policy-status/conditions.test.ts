/** What the status of a policy says, in the words and the shape that people know. */
import { describe, expect, it } from '@jest/globals';
import {
  acceptance,
  acceptedType,
  isProgrammed,
  programmedType,
  programming,
  type Said,
  withConditions,
} from '../../../../src/controller/policy-status/conditions.ts';
import { generationAt, withGeneration } from '../../../../src/controller/policy-status/generations.ts';
import { countBelow, NodeProgress } from '../../../../src/controller/policy-status/node-progress.ts';
import { type PolicyRecord, policyRecord } from '../../../../src/controller/policy-status/record.ts';
import type { NodeName } from '../../../../src/model/mesh.ts';
import { meshOf } from '../../../support/mesh-builder.ts';

const { config } = meshOf({}).view;

function recordOf(
  spec: unknown,
  fields: { readonly kind?: string; readonly status?: unknown } = {},
): PolicyRecord {
  const record = policyRecord(
    {
      apiVersion: 'security.istio.io/v1',
      kind: fields.kind ?? 'AuthorizationPolicy',
      metadata: { namespace: 'shop', name: 'p', uid: 'u', generation: 7, resourceVersion: '1000' },
      spec,
      ...(fields.status === undefined ? {} : { status: fields.status }),
    },
    config,
  );
  if (record === undefined) throw new Error('not taken');
  return record;
}

describe('a policy is accepted', () => {
  it('when nodes take it as it is written', () => {
    const rules = [{ from: [{ source: { namespaces: ['shop'] } }] }];
    expect(acceptance(recordOf({ action: 'ALLOW', rules }))).toEqual({
      type: acceptedType,
      status: 'True',
      reason: 'Accepted',
      message: 'in force as written',
    });
  });

  it('with a caveat, as Istio says it, when it is made stricter: which field, and why', () => {
    const rules = [{ to: [{ operation: { methods: ['GET'] } }] }];
    const said = acceptance(recordOf({ action: 'ALLOW', rules }));
    expect(said).toMatchObject({ status: 'True', reason: 'UnsupportedValue' });
    expect(said.message).toMatch(/spec\.rules\[0\]\.to\[0\]\.operation\.methods: .*waypoint/);
    expect(acceptance(recordOf({ action: 'CUSTOM', rules: [{}] }))).toMatchObject({
      reason: 'UnsupportedValue',
      message: expect.stringMatching(/^warning: spec\.action: CUSTOM needs a waypoint/),
    });
  });

  it.each([
    [
      'AuthorizationPolicy',
      { rules: [{ from: [{ source: { ipBlocks: ['010.0.0.1'] } }] }] },
      'spec.rules[0].from[0].source.ipBlocks',
    ],
    ['AuthorizationPolicy', { action: 'PERMIT' }, 'spec.action'],
    ['AuthorizationPolicy', { action: 'DENY' }, 'spec.rules'],
    ['PeerAuthentication', { portLevelMtls: { 80: { mode: 'STRICT' } } }, 'spec.portLevelMtls'],
    [
      'NamespaceAccess',
      { egress: { default: 'Deny', rules: [{ to: [{ cidr: '10.0.0.0/33' }] }] } },
      'spec.egress.rules[0].to[0].cidr',
    ],
    ['NamespaceAccess', { egress: { default: 'Perhaps' } }, 'spec.egress.default'],
  ])('not at all when it cannot be read: %s with %j', (kind, spec, field) => {
    const said = acceptance(recordOf(spec, { kind }));
    expect(said).toMatchObject({ status: 'False', reason: 'Invalid' });
    expect(said.message).toContain(field);
  });

  it('or not, in a message of bounded length', () => {
    const rules = Array.from({ length: 500 }, () => ({ from: [{ source: { ipBlocks: ['nonsense'] } }] }));
    expect(acceptance(recordOf({ rules })).message).toHaveLength(2048);
  });
});

const nodes = (count: number): readonly NodeName[] =>
  Array.from({ length: count }, (_, i) => `node-${i}` as NodeName);

function progressOf(versions: readonly (number | undefined)[]) {
  const all = nodes(versions.length);
  const progress = new NodeProgress(() => new Set(all));
  versions.forEach((version, i) => {
    if (version !== undefined)
      progress.report(all[i] as NodeName, new Map([['AuthorizationPolicy', BigInt(version)]]));
  });
  return progress.of('AuthorizationPolicy');
}

const history = [
  { generation: 6, resourceVersion: '900' },
  { generation: 7, resourceVersion: '1000' },
].reduce(
  (known, each) => withGeneration(known, { uid: 'u', ...each }),
  withGeneration(undefined, { uid: 'u', generation: 5, resourceVersion: '800' }),
);

const said = (versions: readonly (number | undefined)[]): Said =>
  programming({ generation: 7 }, history, progressOf(versions));

describe('which nodes run which generation', () => {
  it('is a sentence, however many nodes there are', () => {
    const versions = Array.from({ length: 5000 }, (_, i) => (i < 2 ? 990 - i : 1000 + i));
    expect(said(versions)).toEqual({
      type: programmedType,
      status: 'False',
      reason: 'Progressing',
      message: '4998 of 5000 nodes run generation 7; oldest: node-1 runs 6',
    });
    expect(said(versions.map(() => 1000))).toMatchObject({
      status: 'True',
      reason: 'Programmed',
      message: 'all 5000 nodes run generation 7',
    });
  });

  it.each<[readonly (number | undefined)[], string]>([
    [[1000], 'the only node runs generation 7'],
    [[1000, undefined], '1 of 2 nodes run generation 7; 1 has not reported, node-1 first'],
    [[1000, undefined, undefined], '1 of 3 nodes run generation 7; 2 have not reported, node-1 first'],
    [[1000, 700], '1 of 2 nodes run generation 7; oldest: node-1 runs an earlier one, or none'],
    [[850, undefined], '0 of 2 nodes run generation 7; oldest: node-0 runs 5'],
    [[undefined, undefined], 'no node has reported what it runs'],
    [[], 'no node has reported what it runs'],
  ])('is said of reports %j as "%s"', (versions, message) => {
    expect(said(versions).message).toBe(message);
  });

  it('is found by the version at which each generation was seen; a policy made anew begins anew', () => {
    expect([750, 800, 899, 900, 5000].map((version) => generationAt(history, BigInt(version)))).toEqual([
      undefined,
      5,
      5,
      6,
      7,
    ]);
    const other = withGeneration(history, { uid: 'v', generation: 1, resourceVersion: '2000' });
    expect(other.seen).toHaveLength(1);
    const often = Array.from({ length: 30 }, (_, i) => i + 8).reduce(
      (known, generation) =>
        withGeneration(known, { uid: 'u', generation, resourceVersion: String(1000 + generation) }),
      history,
    );
    expect(often.seen.map(({ generation }) => generation)).toEqual([30, 31, 32, 33, 34, 35, 36, 37]);
    expect(withGeneration(history, { uid: 'u', generation: 7, resourceVersion: '1500' })).toEqual(history);
  });

  it('counts versions as numbers, not as text', () => {
    const { reported } = progressOf([9, 10, 100, 99]);
    expect([0, 10, 11, 100, 101].map((version) => countBelow(reported, BigInt(version)))).toEqual([
      0, 1, 2, 3, 4,
    ]);
  });

  it('forgets a node whose program is gone', () => {
    let present = new Set(nodes(2));
    const progress = new NodeProgress(() => present);
    for (const node of present) progress.report(node, new Map([['AuthorizationPolicy', 5n]]));
    present = new Set(nodes(1));
    progress.nodesChanged(nodes(2).slice(1));
    expect(progress.of('AuthorizationPolicy')).toMatchObject({ total: 1, silent: 0 });
    present = new Set(nodes(2));
    progress.nodesChanged([]);
    expect(progress.of('AuthorizationPolicy')).toMatchObject({ total: 2, silent: 1, firstSilent: 'node-1' });
  });
});

describe('the conditions of a policy', () => {
  const foreign = {
    type: 'ZtunnelAccepted',
    status: 'True',
    observedGeneration: '7',
    message: 'attached to ztunnel',
  };
  const accepted: Said = {
    type: acceptedType,
    status: 'True',
    reason: 'Accepted',
    message: 'in force as written',
  };
  const at = Date.UTC(2026, 0, 1);

  it('keep those of others as they are, with the fields that we do not know', () => {
    const record = recordOf({ rules: [{}] }, { status: { conditions: [{ ...foreign, extra: 1 }] } });
    expect(withConditions(record, [accepted], at)).toEqual([
      { ...foreign, extra: 1 },
      { ...accepted, observedGeneration: 7, lastTransitionTime: '2026-01-01T00:00:00Z' },
    ]);
  });

  it('are not written again while they say the same of the same generation', () => {
    const conditions = withConditions(recordOf({ rules: [{}] }), [accepted], at) ?? [];
    const record = recordOf({ rules: [{}] }, { status: { conditions } });
    expect(withConditions(record, [accepted], at + 5)).toBeUndefined();
    expect(withConditions({ ...record, generation: 8 }, [accepted], at + 60_000)).toEqual([
      { ...accepted, observedGeneration: 8, lastTransitionTime: '2026-01-01T00:00:00Z' },
    ]);
    expect(withConditions(record, [{ ...accepted, status: 'False' }], at + 60_000)).toMatchObject([
      { status: 'False', lastTransitionTime: '2026-01-01T00:01:00Z' },
    ]);
  });

  it('of others are kept whatever is in them; what is none is lost', () => {
    const odd = { type: 'Odd', status: true, observedGeneration: { at: 1 }, message: 5 };
    const record = recordOf({ rules: [{}] }, { status: { conditions: [odd, 'none', { status: 'True' }] } });
    expect(withConditions(record, [accepted], at)?.map(({ type }) => type)).toEqual(['Odd', acceptedType]);
    expect(withConditions(record, [accepted], at)).toContainEqual(odd);
  });

  it('are put in place of a status that is none', () => {
    const record = recordOf({ rules: [{}] }, { status: { conditions: 'none' } });
    expect(withConditions(record, [accepted], at)).toHaveLength(1);
  });

  it('say once for a generation that all nodes run it', () => {
    const done = { type: programmedType, status: 'True', observedGeneration: 7 };
    expect(isProgrammed(recordOf({}, { status: { conditions: [done] } }))).toBe(true);
    expect(isProgrammed(recordOf({}, { status: { conditions: [{ ...done, observedGeneration: 6 }] } }))).toBe(
      false,
    );
  });
});
