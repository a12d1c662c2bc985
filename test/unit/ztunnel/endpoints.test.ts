import { describe, expect, it } from '@jest/globals';
import { type IpAddress, parseIp } from '../../../src/base/ip.ts';
import type { Service, WorkloadUid } from '../../../src/model/mesh.ts';
import { chooseEndpoint } from '../../../src/ztunnel/endpoints.ts';
import { at, meshOf, pod, service } from '../../support/mesh-builder.ts';

const ips = (...texts: readonly string[]): ReadonlySet<IpAddress> => new Set(texts.map(parseIp));
const web = (...endpoints: Parameters<typeof service>[3]): Service =>
  service('shop/web', '10.96.0.10', '80:8080', endpoints);
const [a, b, c] = ['10.244.2.1', '10.244.2.2', '10.244.2.3'] as const;
const { view } = meshOf({});

/** Everything that could be chosen: the choice for luck of every kind. */
function choices(
  of: Service,
  history: { tried?: ReadonlySet<IpAddress>; suspects?: ReadonlySet<IpAddress> } = {},
  mesh = view,
) {
  const { tried = ips(), suspects = ips() } = history;
  const chosen = [0, 0.2, 0.4, 0.6, 0.8, 0.999].map((luck) =>
    chooseEndpoint(mesh, of, at('10.96.0.10:80'), { tried, isSuspect: (ip) => suspects.has(ip) }, () => luck),
  );
  return [...new Set(chosen.map((target) => target?.ip))];
}

describe('the endpoint a connection tries next', () => {
  it('is any of those that are ready, on the endpoint’s own port', () => {
    const three = web({ address: a }, { address: b }, { address: c, ready: false });
    expect(choices(three)).toEqual([a, b]);
    const history = { tried: ips(), isSuspect: () => false };
    expect(chooseEndpoint(view, three, at('10.96.0.10:80'), history, () => 0)).toEqual(at(`${a}:8080`));
  });

  it('is none it has tried already', () => {
    const two = web({ address: a }, { address: b });
    expect(choices(two, { tried: ips(a) })).toEqual([b]);
    expect(choices(two, { tried: ips(a, b) })).toEqual([undefined]);
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

  it('is of the family that was dialled', () => {
    expect(choices(web({ address: 'fd00::7' }))).toEqual([undefined]);
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
});
