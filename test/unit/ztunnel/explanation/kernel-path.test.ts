/** What is explained of the kernel path: the same endpoints take it as the connect hook sends there. */
import { describe, expect, it } from '@jest/globals';
import { formatSocketAddress } from '../../../../src/base/ip.ts';
import { createAuthorizer } from '../../../../src/policy/authorize.ts';
import { travel } from '../../../../src/ztunnel/explanation/journey.ts';
import { access } from '../../../support/egress.ts';
import { at, type MeshSpec, meshOf, pod, service } from '../../../support/mesh-builder.ts';

const web = pod('shop/web', { ips: ['10.0.0.1'] });
const beside = pod('shop/beside', { ips: ['10.0.0.2'] });
const asking = { ...pod('shop/asking', { ips: ['10.0.0.3'] }), sameNode: 'hbone' as const };
const far = pod('shop/far', { ips: ['10.0.0.4'], node: 'node-b' });
const shared = (...addresses: readonly string[]) =>
  service(
    'shop/shared',
    '10.96.0.1',
    '80:8080',
    addresses.map((address) => ({ address })),
  );
const all = shared('10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4');

/** By endpoint. */
function pathsTo(dialled: string, spec: MeshSpec = {}, isOn = true): Record<string, string | undefined> {
  const { view } = meshOf({ workloads: [web, beside, asking, far], services: [all], ...spec });
  const deps = {
    view,
    authorizer: createAuthorizer(),
    enrolment: () => undefined,
    kernelPath: isOn ? { node: web.node } : undefined,
    certificateTrouble: () => undefined,
  };
  const source = { type: 'pod', workload: web, alike: 1 } as const;
  const { endings } = travel(deps, { source, dialled: at(dialled), transport: 'tcp' });
  return Object.fromEntries(endings.map(({ endpoint, path }) => [formatSocketAddress(endpoint), path]));
}

describe('of a Service', () => {
  it('those take the kernel path that are on the node, do not ask for HBONE, and are not the pod itself', () => {
    expect(pathsTo('10.96.0.1:80')).toEqual({
      '10.0.0.1:8080': 'hbone',
      '10.0.0.2:8080': 'kernel',
      '10.0.0.3:8080': 'hbone',
      '10.0.0.4:8080': 'hbone',
    });
  });

  it('none does where it is switched off', () => {
    expect(Object.values(pathsTo('10.96.0.1:80', {}, false))).not.toContain('kernel');
  });

  it('sessions lead to the same ones by the same ways', () => {
    const sticky = { ...all, affinityTimeoutMs: 60_000 };
    expect(pathsTo('10.96.0.1:80', { services: [sticky] })).toEqual(pathsTo('10.96.0.1:80'));
  });

  it('with endpoints outside the mesh none does for a pod of whose egress anything is said', () => {
    const mixed = shared('10.0.0.2', '192.0.2.7');
    const closed = access('shop/closed', { egress: { default: 'deny', rules: [] } });
    expect(pathsTo('10.96.0.1:80', { services: [mixed] })['10.0.0.2:8080']).toBe('kernel');
    expect(pathsTo('10.96.0.1:80', { services: [mixed], access: [closed] })).toEqual({
      '10.0.0.2:8080': 'hbone',
    });
    expect(pathsTo('10.96.0.1:80', { access: [closed] })['10.0.0.2:8080']).toBe('kernel');
  });
});

it('a pod’s own address takes it, and the mesh’s ports there do not', () => {
  expect(pathsTo('10.0.0.2:8080')).toEqual({ '10.0.0.2:8080': 'kernel' });
  expect(Object.values(pathsTo('10.0.0.2:15008'))).not.toContain('kernel');
});
