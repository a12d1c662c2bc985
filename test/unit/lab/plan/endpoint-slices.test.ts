/** Which pods of a node stand behind which Service, and as what. */
import { describe, expect, it } from '@jest/globals';
import { endpointSlices } from '../../../../src/lab/plan/endpoint-slices.ts';
import { pod, service } from '../objects.ts';

const ips = ['10.244.1.2', 'fd10:244:1::2'];

const serving = (name: string, port: number) =>
  pod({
    name,
    ips,
    labels: { app: 'web' },
    spec: { containers: [{ name: 'c', ports: [{ name: 'http', containerPort: port }] }] },
  });

describe('a node’s EndpointSlices', () => {
  it('have one slice a family, named after Service and node', () => {
    const slices = endpointSlices('node-a', [service('web')], [pod({ ips })]);
    expect(slices.map(({ metadata, addressType }) => [metadata.name, addressType])).toEqual([
      ['web-node-a', 'IPv4'],
      ['web-node-a-v6', 'IPv6'],
    ]);
    expect(slices[0]).toMatchObject({
      metadata: { namespace: 'shop', labels: { 'kubernetes.io/service-name': 'web' } },
      endpoints: [
        {
          addresses: ['10.244.1.2'],
          conditions: { ready: true, serving: true, terminating: false },
          nodeName: 'node-a',
          targetRef: { kind: 'Pod', namespace: 'shop', name: 'web', uid: 'uid-web' },
        },
      ],
      ports: [{ port: 80, protocol: 'TCP' }],
    });
  });

  it('leave out pods of other nodes, other namespaces, other labels, and finished ones', () => {
    const others = [
      pod({ ips, node: 'node-b' }),
      pod({ ips, namespace: 'legacy' }),
      pod({ ips, labels: { app: 'db' } }),
      pod({ ips, phase: 'Succeeded' }),
      pod({ ips, phase: 'Failed' }),
    ];
    expect(endpointSlices('node-a', [service('web')], others)).toEqual([]);
  });

  it('leave Services without a selector to whoever writes their slices', () => {
    const { selector: _selector, ...spec } = service('web').spec;
    expect(endpointSlices('node-a', [{ ...service('web'), spec }], [pod({ ips })])).toEqual([]);
    expect(endpointSlices('node-a', [service('web', { selector: {} })], [pod({ ips })])).toEqual([]);
  });

  it.each([
    ['an unready pod takes nothing', { ready: false }, { ready: false, serving: false, terminating: false }],
    [
      'a pod that ends takes nothing new',
      { deleted: '2026-01-01T00:00:00Z' },
      { ready: false, serving: true, terminating: true },
    ],
  ])('say that %s', (_what, sketch, conditions) => {
    const [slice] = endpointSlices('node-a', [service('web')], [pod({ ips, ...sketch })]);
    expect(slice?.endpoints[0]?.conditions).toEqual(conditions);
  });

  it('take unready pods for ready where the Service asks for it', () => {
    const eager = service('web', { publishNotReadyAddresses: true });
    const [slice] = endpointSlices(
      'node-a',
      [eager],
      [pod({ ips, ready: false }), pod({ ips, ready: false, deleted: '2026-01-01T00:00:00Z' })],
    );
    expect(slice?.endpoints.map(({ conditions }) => conditions)).toEqual([
      { ready: true, serving: false, terminating: false },
      { ready: true, serving: false, terminating: true },
    ]);
  });

  it('resolve named ports on each pod, in slices of their own where they differ', () => {
    const named = service('web', { ports: [{ port: 80, targetPort: 'http' }] });
    const slices = endpointSlices('node-a', [named], [serving('a', 8080), serving('b', 9090)]);
    expect(
      slices
        .filter(({ addressType }) => addressType === 'IPv4')
        .map(({ metadata, ports }) => [metadata.name, ports?.[0]?.port]),
    ).toEqual([
      ['web-node-a', 8080],
      ['web-node-a-2', 9090],
    ]);
  });

  it('leave out a port that the pod does not name', () => {
    const named = service('web', {
      ports: [
        { name: 'a', port: 80, targetPort: 'http' },
        { name: 'b', port: 81 },
      ],
    });
    const [slice] = endpointSlices('node-a', [named], [pod({ ips })]);
    expect(slice?.ports).toEqual([{ name: 'b', port: 81, protocol: 'TCP' }]);
  });
});
