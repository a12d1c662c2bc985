import { describe, expect, it } from '@jest/globals';
import { formatProblem } from '../../../../src/kube/problem.ts';
import { translateService, type TranslatedService } from '../../../../src/kube/translate/service.ts';
import type { Service } from '../../../../src/model/mesh.ts';
import { meshConfig } from '../../../support/mesh-builder.ts';
import { objectIn } from '../support.ts';

const slice = (name: string, fields: string, addressType = 'IPv4'): string =>
  `{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: ${name}, namespace: shop, labels: {kubernetes.io/service-name: web}}, addressType: ${addressType}, ${fields}}`;

const translate = (spec: string, slices: readonly string[] = []): TranslatedService =>
  translateService(
    objectIn(
      'Service',
      `{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {${spec}}}`,
    ),
    slices.map((text) => objectIn('EndpointSlice', text)),
    meshConfig,
  );

function service(spec: string, slices: readonly string[] = []): Service {
  const { service: translated, problems } = translate(spec, slices);
  if (translated === undefined) throw new Error(problems.map(formatProblem).join('\n'));
  return translated;
}

const http = 'ports: [{name: http, port: 80, targetPort: web}]';

it('makes a service of a Service and its slices', () => {
  const spec = `clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1, "fd10::1"], selector: {app: web}, ${http}`;
  expect(
    service(spec, [
      slice('web-1', 'ports: [{name: http, port: 8080}], endpoints: [{addresses: [10.0.0.1]}]'),
    ]),
  ).toEqual({
    key: 'shop/web',
    namespace: 'shop',
    name: 'web',
    hostname: 'web.shop.svc.cluster.local',
    vips: ['10.96.0.1', 'fd10::1'],
    ports: [{ name: 'http', port: 80, protocol: 'tcp' }],
    endpoints: [
      { address: '10.0.0.1', ports: new Map([[80, 8080]]), ready: true, serving: true, terminating: false },
    ],
  });
});

describe('virtual addresses', () => {
  it.each([
    ['one', 'clusterIP: 10.96.0.1', ['10.96.0.1']],
    ['none of a headless Service', 'clusterIP: None', []],
    ['none of a headless Service in both fields', 'clusterIP: None, clusterIPs: [None]', []],
    ['none before one is assigned', 'clusterIP: ""', []],
  ])('are %s', (_, spec, vips) => {
    expect(service(spec).vips).toEqual(vips);
  });

  it('must be addresses', () => {
    const { service: nothing, problems } = translate('clusterIP: 10.96.0.999');
    expect(nothing).toBeUndefined();
    expect(problems.map(formatProblem)).toEqual([
      'test.yaml:1:1: service/shop/web: spec.clusterIPs: expected IP addresses or None',
    ]);
  });
});

it('makes nothing of an ExternalName, which is DNS alone', () => {
  expect(translate('type: ExternalName, externalName: example.org')).toEqual({
    service: undefined,
    problems: [],
  });
});

describe('rules for its traffic', () => {
  it.each([
    ['none by default', 'internalTrafficPolicy: Cluster, sessionAffinity: None', {}],
    ['only endpoints of the client’s node', 'internalTrafficPolicy: Local', { nodeLocal: true }],
    [
      'a session a client',
      'sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 60}}',
      { affinityTimeoutMs: 60_000 },
    ],
    ['a session of three hours', 'sessionAffinity: ClientIP', { affinityTimeoutMs: 10_800_000 }],
  ])('are %s', (_, spec, expected) => {
    const { nodeLocal, affinityTimeoutMs } = service(`clusterIP: 10.96.0.1, ${spec}, ${http}`);
    expect({ nodeLocal, affinityTimeoutMs }).toEqual({
      nodeLocal: undefined,
      affinityTimeoutMs: undefined,
      ...expected,
    });
  });
});

it('has no endpoints without slices, whatever it selects', () => {
  expect(service(`clusterIP: 10.96.0.1, selector: {app: web}, ${http}`).endpoints).toEqual([]);
});

describe('ports', () => {
  it.each([
    ['have names if there are several', '[{port: 80}, {port: 81}]', 'spec.ports[1].name'],
    ['have different names', '[{name: a, port: 80}, {name: a, port: 81}]', 'spec.ports[1].name'],
    [
      'have different numbers in one protocol',
      '[{name: a, port: 80}, {name: b, port: 80}]',
      'spec.ports[1].port',
    ],
  ])('%s', (_, ports, field) => {
    const { service: nothing, problems } = translate(`ports: ${ports}`);
    expect([nothing, problems.map((problem) => problem.field)]).toEqual([undefined, [field]]);
  });

  it('may have one number in two protocols, as DNS has; endpoints serve the TCP one', () => {
    const spec = 'ports: [{name: udp, port: 53, protocol: UDP}, {name: tcp, port: 53}]';
    const slices = [
      slice(
        's',
        'ports: [{name: udp, port: 5300, protocol: UDP}, {name: tcp, port: 5353}], endpoints: [{addresses: [10.0.0.1]}]',
      ),
    ];
    const { ports, endpoints } = service(spec, slices);
    expect(ports.map(({ protocol }) => protocol)).toEqual(['udp', 'tcp']);
    expect(endpoints[0]?.ports).toEqual(new Map([[53, 5353]]));
  });

  it('are joined to a slice’s ports by name, so that each pod serves its own number', () => {
    const slices = [
      slice('a', 'ports: [{name: http, port: 8080}], endpoints: [{addresses: [10.0.0.1]}]'),
      slice('b', 'ports: [{name: http, port: 9090}], endpoints: [{addresses: [10.0.0.2]}]'),
      slice('c', 'ports: [{name: other, port: 1}], endpoints: [{addresses: [10.0.0.3]}]'),
    ];
    expect(service(http, slices).endpoints.map(({ ports }) => ports.get(80 as never))).toEqual([
      8080,
      9090,
      undefined,
    ]);
  });

  it('need no name when there is one', () => {
    const slices = [slice('a', 'ports: [{port: 8080}], endpoints: [{addresses: [10.0.0.1]}]')];
    expect(service('ports: [{port: 80}]', slices).endpoints[0]?.ports).toEqual(new Map([[80, 8080]]));
    const empty = [slice('a', 'ports: [{name: "", port: 8080}], endpoints: [{addresses: [10.0.0.1]}]')];
    expect(service('ports: [{port: 80}]', empty).endpoints[0]?.ports).toEqual(new Map([[80, 8080]]));
  });

  it('of a slice without a number stand for any', () => {
    const slices = [slice('a', 'ports: [{name: http}], endpoints: [{addresses: [10.0.0.1]}]')];
    expect(service(http, slices).endpoints[0]?.ports).toEqual(new Map([[80, 80]]));
  });
});

describe('an endpoint', () => {
  it.each([
    ['ready when nothing else is known', '', { ready: true, serving: true, terminating: false }],
    ['ready', 'ready: true, serving: true, terminating: false', { ready: true, serving: true }],
    ['not ready', 'ready: false, serving: false', { ready: false, serving: false, terminating: false }],
    [
      'serving while it terminates',
      'ready: false, serving: true, terminating: true',
      { ready: false, serving: true, terminating: true },
    ],
    [
      'taken for serving while it terminates and nobody knows, as the API wants it',
      'ready: false, terminating: true',
      { ready: false, serving: true, terminating: true },
    ],
    [
      'ready although it terminates, if its Service publishes addresses that are not ready',
      'ready: true, serving: false, terminating: true',
      { ready: true, serving: false, terminating: true },
    ],
  ])('is %s', (_, conditions, expected) => {
    const slices = [
      slice(
        'a',
        `ports: [{name: http, port: 1}], endpoints: [{addresses: [10.0.0.1], conditions: {${conditions}}}]`,
      ),
    ];
    expect(service(http, slices).endpoints).toEqual([expect.objectContaining(expected)]);
  });

  it('is one, with all its ports, although two slices have it', () => {
    const spec = 'ports: [{name: http, port: 80}, {name: admin, port: 81}]';
    const slices = [
      slice(
        'a',
        'ports: [{name: http, port: 8080}], endpoints: [{addresses: [10.0.0.1], conditions: {ready: false}}]',
      ),
      slice('b', 'ports: [{name: admin, port: 8081}], endpoints: [{addresses: [10.0.0.1]}]'),
    ];
    expect(service(spec, slices).endpoints).toEqual([
      {
        address: '10.0.0.1',
        ports: new Map([
          [80, 8080],
          [81, 8081],
        ]),
        ready: true,
        serving: true,
        terminating: false,
      },
    ]);
  });

  it('is two when two slices give one address different targets, as of two servers outside the cluster', () => {
    const slices = [8001, 8002].map((port) =>
      slice(`by-hand-${port}`, `ports: [{name: http, port: ${port}}], endpoints: [{addresses: [192.0.2.7]}]`),
    );
    expect(service(http, slices).endpoints.map(({ ports }) => [...ports])).toEqual([
      [[80, 8001]],
      [[80, 8002]],
    ]);
  });

  it('knows its node, and whose clients it is for', () => {
    const endpoints =
      '[{addresses: [10.0.0.1], nodeName: node-a, zone: z, hints: {forZones: [{name: z}], forNodes: [{name: node-a}]}}, {addresses: [10.0.0.2], hints: {}}]';
    const slices = [slice('a', `ports: [{name: http, port: 1}], endpoints: ${endpoints}`)];
    const [near, far] = service(http, slices).endpoints;
    expect(near).toMatchObject({ node: 'node-a', hints: { zones: ['z'], nodes: ['node-a'] } });
    expect(far).toMatchObject({ hints: { zones: [], nodes: [] } });
    expect(far).not.toHaveProperty('node');
  });

  it('may be of either family; domain names are passed over', () => {
    const slices = [
      slice('v6', 'ports: [{name: http, port: 1}], endpoints: [{addresses: ["fd00::1"]}]', 'IPv6'),
      slice('names', 'ports: [{name: http, port: 1}], endpoints: [{addresses: [example.org]}]', 'FQDN'),
    ];
    expect(service(http, slices).endpoints.map(({ address }) => address)).toEqual(['fd00::1']);
  });

  it('whose address is none is reported and skipped; the others stay', () => {
    const slices = [
      slice(
        'a',
        'ports: [{name: http, port: 1}], endpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0]}]',
      ),
    ];
    const { service: translated, problems } = translate(http, slices);
    expect(translated?.endpoints.map(({ address }) => address)).toEqual(['10.0.0.1']);
    expect(problems.map(formatProblem)).toEqual([
      'test.yaml:1:1: endpointslice/shop/a: endpoints[1].addresses[0]: expected an IP address, found "10.0.0"',
    ]);
  });

  it('comes in the same order however the slices come', () => {
    const a = slice('a', 'ports: [{name: http, port: 1}], endpoints: [{addresses: [10.0.0.2]}]');
    const b = slice('b', 'ports: [{name: http, port: 1}], endpoints: [{addresses: [10.0.0.1]}]');
    expect(service(http, [b, a])).toEqual(service(http, [a, b]));
  });
});

const podNamed = (kind: string): string =>
  `targetRef: {kind: ${kind}, namespace: shop, name: web-1, uid: uid-1}`;

/** Of endpoints at one address, each in a slice of its own. */
const podsBehind = (...endpoints: readonly string[]) =>
  service(
    http,
    endpoints.map((fields, i) =>
      slice(`web-${i}`, `ports: [{name: http, port: 8080}], endpoints: [{addresses: [10.0.0.1], ${fields}}]`),
    ),
  ).endpoints.map(({ pod }) => pod);

describe('the pod behind an endpoint', () => {
  it('is known by its UID, if it is a pod', () => {
    expect(podsBehind(podNamed('Pod'))).toEqual(['uid-1']);
    expect(podsBehind(podNamed('Node'))).toEqual([undefined]);
  });

  it('is the one that stays, where two have one address', () => {
    const leaving = 'conditions: {terminating: true, ready: false}, targetRef: {kind: Pod, uid: uid-0}';
    expect(podsBehind(leaving, podNamed('Pod'))).toEqual(['uid-1']);
    expect(podsBehind(podNamed('Pod'), leaving)).toEqual(['uid-1']);
  });
});
