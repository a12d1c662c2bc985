import { describe, expect, it } from '@jest/globals';
import { type IpAddress, parseIp } from '../../../src/base/ip.ts';
import type { NodeName, Service, Workload, WorkloadUid } from '../../../src/model/mesh.ts';
import { endpointsToTry, type Vantage } from '../../../src/model/endpoint-choice.ts';
import { at, meshOf, pod, service } from '../../support/mesh-builder.ts';

const ips = (...texts: readonly string[]): ReadonlySet<IpAddress> => new Set(texts.map(parseIp));
const web = (...endpoints: Parameters<typeof service>[3]): Service =>
  service('shop/web', '10.96.0.10', '80:8080', endpoints);
const [a, b, c] = ['10.244.2.1', '10.244.2.2', '10.244.2.3'] as const;
const { view } = meshOf({});

const from: Vantage = { node: 'node-a' as NodeName, zone: undefined };

interface History {
  readonly tried?: ReadonlySet<IpAddress>;
  readonly suspects?: ReadonlySet<IpAddress>;
}

/** Addresses of those among which chance decides. */
const choices = (
  of: Service,
  { tried = ips(), suspects = ips() }: History = {},
  mesh = view,
): readonly string[] =>
  endpointsToTry(mesh, of, at('10.96.0.10:80'), from, { tried, isSuspect: (ip) => suspects.has(ip) }).map(
    ({ address }) => address,
  );

/** One endpoint, which says whose pod it is. */
function owned({ uid }: Workload): Service {
  const { endpoints, ...rest } = web({ address: a });
  return { ...rest, endpoints: endpoints.map((each) => ({ ...each, pod: uid })) };
}

describe('the endpoint a connection tries next', () => {
  it('is any of those that are ready', () => {
    expect(choices(web({ address: a }, { address: b }, { address: c, ready: false }))).toEqual([a, b]);
  });

  it('is none it has tried already', () => {
    const two = web({ address: a }, { address: b });
    expect(choices(two, { tried: ips(a) })).toEqual([b]);
    expect(choices(two, { tried: ips(a, b) })).toEqual([]);
  });

  it('is one that failed just now only when no other ready one is left', () => {
    const two = web({ address: a }, { address: b });
    expect(choices(two, { suspects: ips(a) })).toEqual([b]);
    expect(choices(two, { suspects: ips(a), tried: ips(b) })).toEqual([a]);
  });

  it('is any of them when all failed just now', () => {
    expect(choices(web({ address: a }, { address: b }), { suspects: ips(a, b) })).toEqual([a, b]);
  });

  it('is one that is leaving but still serves when no ready one is left', () => {
    const leaving = web({ address: a, terminating: true }, { address: b });
    expect(choices(leaving)).toEqual([b]);
    expect(choices(leaving, { suspects: ips(b) })).toEqual([b]);
    expect(choices(leaving, { tried: ips(b) })).toEqual([a]);
  });

  it('is no pod that the mesh does not know: in the mesh or not, it cannot tell', () => {
    const known = pod('shop/web', { ips: [a] });
    const { endpoints, ...rest } = web({ address: a }, { address: b });
    const uids = [known.uid, 'shop/gone' as WorkloadUid];
    const named: Service = {
      ...rest,
      endpoints: endpoints.map((each, i) => ({ ...each, pod: uids[i] as WorkloadUid })),
    };
    expect(choices(named, {}, meshOf({ workloads: [known] }).view)).toEqual([a]);
  });

  describe('that is said to be a pod of the mesh', () => {
    const inMesh = pod('shop/web', { ips: [b] });
    const after = (...workloads: readonly Workload[]): readonly string[] =>
      choices(owned(inMesh), {}, meshOf({ workloads }).view);

    it('is none at an address that is not known to be the pod’s: it would be dialled in plaintext', () => {
      expect(after(inMesh)).toEqual([]);
      expect(after({ ...inMesh, addresses: [] })).toEqual([]);
      expect(after({ ...inMesh, addresses: [parseIp(a)] })).toEqual([a]);
    });

    it('is none at an address that another pod still has', () => {
      const former = pod('shop/former', { ips: [a], protocol: 'tcp' });
      expect(after(inMesh, former)).toEqual([]);
      expect(after({ ...inMesh, addresses: [parseIp(a)] }, former)).toEqual([]);
      expect(after(former, { ...inMesh, addresses: [parseIp(a)] })).toEqual([a]);
    });

    it('is one at any address when the pod is not in the mesh after all', () => {
      expect(after({ ...inMesh, protocol: 'tcp' })).toEqual([a]);
    });
  });
});
