import { describe, expect, it } from '@jest/globals';
import { parsePort } from '../../../src/base/ip.ts';
import {
  type MtlsMode,
  type PeerAuthentication,
  peerAuthenticationKey,
  type PolicyKey,
} from '../../../src/model/policy.ts';
import { effectiveMode, peerAuthenticationLookup } from '../../../src/policy/peer-authentication.ts';
import { meshOf, pod } from '../../support/mesh-builder.ts';

const web = pod('shop/web', { ips: ['10.0.0.1'], labels: { app: 'web' } });
const port80 = parsePort(80);

type Given = Partial<Omit<PeerAuthentication, 'ports'>> & {
  readonly ports?: Readonly<Record<number, MtlsMode>>;
};

function policy(
  where: string,
  mode: MtlsMode | undefined,
  { ports = {}, ...given }: Given = {},
): PeerAuthentication {
  const [namespace = '', name = ''] = where.split('/');
  return {
    key: peerAuthenticationKey(namespace, name),
    namespace,
    name,
    createdAt: '2026-01-01T00:00:00Z',
    scope: { type: namespace === 'istio-system' ? 'mesh' : 'namespace' },
    mode,
    ports: new Map(Object.entries(ports).map(([port, each]) => [parsePort(port), each])),
    ...given,
  };
}

const ofWeb = { scope: { type: 'selector', labels: { app: 'web' } } } as const;

/** The mode on web's port 80, and who decides. */
function modeOf(...policies: readonly PeerAuthentication[]): readonly [MtlsMode, PolicyKey | undefined] {
  const { view } = meshOf({ workloads: [web], peerAuthentications: policies });
  const { mode, policy: by } = effectiveMode(peerAuthenticationLookup(view)(web), port80);
  return [mode, by];
}

const mesh = (mode?: MtlsMode): PeerAuthentication => policy('istio-system/default', mode);
const namespace = (mode?: MtlsMode): PeerAuthentication => policy('shop/default', mode);
const workload = (mode?: MtlsMode, ports: Given['ports'] = {}): PeerAuthentication =>
  policy('shop/web', mode, { ...ofWeb, ports });

describe('the mode of a workload’s port', () => {
  it.each<[string, readonly PeerAuthentication[], MtlsMode, string | undefined]>([
    ['without a policy is permissive', [], 'permissive', undefined],
    ['is the mesh’s', [mesh('strict')], 'strict', 'istio-system/default'],
    ['is rather the namespace’s', [mesh('strict'), namespace('permissive')], 'permissive', 'shop/default'],
    ['is rather the workload’s', [mesh(), namespace('permissive'), workload('strict')], 'strict', 'shop/web'],
    [
      'is rather the port’s',
      [namespace('strict'), workload('strict', { 80: 'disable' })],
      'disable',
      'shop/web',
    ],
    [
      'can be strict where the workload is not',
      [workload('permissive', { 80: 'strict' })],
      'strict',
      'shop/web',
    ],
    ['is not another port’s', [workload('strict', { 81: 'permissive' })], 'strict', 'shop/web'],
    [
      'that the workload leaves open is the namespace’s',
      [namespace('strict'), workload()],
      'strict',
      'shop/default',
    ],
    [
      'that nobody else sets is the mesh’s',
      [mesh('strict'), namespace(), workload()],
      'strict',
      'istio-system/default',
    ],
    ['that everybody leaves open is permissive', [mesh(), namespace(), workload()], 'permissive', undefined],
    [
      'is strict on each of two ports that say so',
      [workload('permissive', { 80: 'strict', 81: 'strict' })],
      'strict',
      'shop/web',
    ],
  ])('%s', (_, policies, mode, by) => {
    expect(modeOf(...policies)).toEqual([mode, by === undefined ? undefined : `peerauthentication/${by}`]);
  });

  it('is that of the oldest policy, and of the first by name where two are as old', () => {
    const older = policy('shop/z', 'strict', { createdAt: '2025-01-01T00:00:00Z' });
    expect(modeOf(namespace('permissive'), older)[0]).toBe('strict');
    expect(modeOf(namespace('permissive'), policy('shop/z', 'strict'))[0]).toBe('permissive');
  });

  it('is nothing to policies of other namespaces, of other workloads, or that select from the root namespace', () => {
    expect(modeOf(policy('other/default', 'strict'))[0]).toBe('permissive');
    const labels = { app: 'api' };
    expect(modeOf(policy('shop/api', 'strict', { scope: { type: 'selector', labels } }))[0]).toBe(
      'permissive',
    );
    expect(modeOf(policy('istio-system/web', 'strict', ofWeb))[0]).toBe('permissive');
  });
});
