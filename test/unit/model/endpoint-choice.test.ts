/** Which endpoints a client may use: the same as kube-proxy on its node would. */
import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { formatSocketAddress, parsePort } from '../../../src/base/ip.ts';
import { translateService } from '../../../src/kube/translate/service.ts';
import type {
  EndpointSlice,
  KubeObject,
  Service as KubeService,
  SourcedObject,
} from '../../../src/kube/objects.ts';
import type { NodeName, Service } from '../../../src/model/mesh.ts';
import { targetOf, usableEndpoints, type Vantage } from '../../../src/model/endpoint-choice.ts';
import { at, type EndpointSpec, meshConfig, service } from '../../support/mesh-builder.ts';

const here: Vantage = { node: 'node-a' as NodeName, zone: 'zone-1' };

const ofOwnNode = (endpoints: readonly EndpointSpec[]) =>
  usableEndpoints(
    { ...service('shop/cart', '10.96.0.1', '80:8080', endpoints), nodeLocal: true },
    at('10.96.0.1:80'),
    here,
  ).map(({ address }) => address);

describe('the endpoints a client may use', () => {
  const near = { address: '10.0.0.1', node: 'node-a', zones: ['zone-1'] };
  const far = { address: '10.0.0.2', node: 'node-b', zones: ['zone-2'] };
  const unhinted = { address: '10.0.0.3', node: 'node-b' };
  const cases: readonly [string, readonly EndpointSpec[], readonly string[]][] = [
    ['are of its zone, if all endpoints say for whom they are', [near, far], ['10.0.0.1']],
    ['are all, if one does not say', [near, far, unhinted], ['10.0.0.1', '10.0.0.2', '10.0.0.3']],
    ['are all, if none is for its zone', [far, { ...far, address: '10.0.0.4' }], ['10.0.0.2', '10.0.0.4']],
    [
      'are those elsewhere, if the one of its zone is not ready',
      [{ ...near, ready: false }, far],
      ['10.0.0.2'],
    ],
    [
      'are those that leave and still serve, if none is ready, whomever they are for',
      [
        { ...near, ready: false },
        { ...far, terminating: true },
      ],
      ['10.0.0.2'],
    ],
    ['do not leave while another is ready', [{ ...near, terminating: true }, far], ['10.0.0.2']],
    ['are none if all leave and serve no more', [{ ...near, terminating: true, serving: false }], []],
    [
      'may leave and not serve, if the Service wants them anyway (publishNotReadyAddresses)',
      [{ ...near, ready: true, serving: false, terminating: true }, far],
      ['10.0.0.1'],
    ],
    ['are of the family that was dialled', [{ address: 'fd00::1' }, unhinted], ['10.0.0.3']],
  ];
  it.each(cases)('%s', (_, endpoints, expected) => {
    const usable = usableEndpoints(
      service('shop/cart', '10.96.0.1', '80:8080', endpoints),
      at('10.96.0.1:80'),
      here,
    );
    expect(usable.map(({ address }) => address)).toEqual(expected);
  });

  it('are of its own node alone, or none, with internalTrafficPolicy: Local', () => {
    expect(ofOwnNode([near, far])).toEqual(['10.0.0.1']);
    expect(ofOwnNode([{ ...near, terminating: true }, far])).toEqual(['10.0.0.1']);
    expect(ofOwnNode([{ ...near, ready: false }, far])).toEqual([]);
    expect(ofOwnNode([far])).toEqual([]);
  });
});

/** What kube-proxy reads of a slice's endpoint, as the API has it: everything may be absent. */
interface ProxyEndpoint {
  readonly addresses: readonly [string];
  readonly conditions: {
    readonly ready?: boolean;
    readonly serving?: boolean;
    readonly terminating?: boolean;
  };
  readonly nodeName?: string;
  readonly hints?: {
    readonly forZones?: readonly { readonly name: string }[];
    readonly forNodes?: readonly { readonly name: string }[];
  };
}

interface ProxySlice {
  readonly addressType: 'IPv4' | 'IPv6';
  readonly ports: readonly { readonly name: string; readonly port: number; readonly protocol: string }[];
  readonly endpoints: readonly ProxyEndpoint[];
}

/**
 * kube-proxy 1.36 in our words: `endpointslicecache.go` collects the endpoints of a Service's port, `CategorizeEndpoints`
 * of `topology.go` chooses among them.
 */
function kubeProxy(slices: readonly ProxySlice[], nodeLocal: boolean, { node, zone }: Vantage): Set<string> {
  const offered = slices
    .filter(({ addressType }) => addressType === 'IPv4')
    .flatMap(({ ports, endpoints }) =>
      ports
        .filter(({ name, protocol }) => name === 'http' && protocol === 'TCP')
        .flatMap(({ port }) => endpoints.map((endpoint) => ({ port, endpoint }))),
    )
    .map(({ port, endpoint: { addresses, conditions, nodeName, hints } }) => ({
      name: `${addresses[0]}:${port}`,
      isLocal: nodeName === node,
      isReady: conditions.ready ?? true,
      leaves: (conditions.serving ?? true) && (conditions.terminating ?? false),
      zones: (hints?.forZones ?? []).map((hint) => hint.name),
      nodes: (hints?.forNodes ?? []).map((hint) => hint.name),
    }));
  const names = (chosen: typeof offered): Set<string> => new Set(chosen.map(({ name }) => name));
  if (nodeLocal) {
    const local = offered.filter(({ isLocal }) => isLocal);
    const ready = local.filter(({ isReady }) => isReady);
    return names(ready.length > 0 ? ready : local.filter(({ leaves }) => leaves));
  }
  const ready = offered.filter(({ isReady }) => isReady);
  if (ready.length === 0) return names(offered.filter(({ leaves }) => leaves));
  const forNode = ready.filter(({ nodes }) => nodes.includes(node));
  if (ready.every(({ nodes }) => nodes.length > 0) && forNode.length > 0) return names(forNode);
  const forZone = ready.filter(({ zones }) => zones.includes(zone ?? ''));
  if (ready.every(({ zones }) => zones.length > 0) && forZone.length > 0) return names(forZone);
  return names(ready);
}

const optional = <T>(values: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(values, { nil: undefined });

const hintsOf = (...names: readonly string[]) =>
  optional(
    fc.uniqueArray(fc.constantFrom(...names), { maxLength: 2 }).map((all) => all.map((name) => ({ name }))),
  );

type ProxyFacts = Omit<ProxyEndpoint, 'addresses'>;

/** Of one address: the same wherever it is listed. Usually ready, or there would be little to choose from. */
const facts: fc.Arbitrary<ProxyFacts> = fc
  .record({
    conditions: fc.record({
      ready: fc.constantFrom(true, true, false, undefined),
      serving: optional(fc.boolean()),
      terminating: optional(fc.boolean()),
    }),
    nodeName: fc.constantFrom('node-a', 'node-b', undefined),
    hints: optional(
      fc.record({ forZones: hintsOf('zone-1', 'zone-2'), forNodes: hintsOf('node-a', 'node-b') }),
    ),
  })
  // Leaves out what is undefined, as it would be on the wire.
  .map((fields) => JSON.parse(JSON.stringify(fields)) as ProxyFacts);

const addresses = {
  IPv4: ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'],
  IPv6: ['fd00::1', 'fd00::2'],
} as const;

const portNamed = (name: string, port: number, protocol = 'TCP') => ({ name, port, protocol });
const slicePorts = fc.constantFrom(
  [portNamed('http', 8080)],
  [portNamed('http', 9090), portNamed('admin', 8080)],
  [portNamed('admin', 8080)],
  [portNamed('http', 8080, 'UDP')],
);

const slicesOf = (known: readonly ProxyFacts[]): fc.Arbitrary<ProxySlice> =>
  fc.constantFrom('IPv4', 'IPv4', 'IPv6').chain((addressType) => {
    const all = addresses[addressType].map((address, i) => ({
      addresses: [address] as const,
      ...(known[i] ?? { conditions: {} }),
    }));
    return fc.record({
      addressType: fc.constant(addressType),
      ports: slicePorts,
      endpoints: fc.subarray(all, { minLength: 1 }),
    });
  });

const someSlices = fc
  .array(facts, { minLength: 4, maxLength: 4 })
  .chain((known) => fc.array(slicesOf(known), { minLength: 1, maxLength: 3 }));

/** As an API object that was not written in a file. */
const fromApi = <Object extends KubeObject>(object: object): SourcedObject<Object> => ({
  object: object as Object,
  position: undefined,
});

function translated(slices: readonly ProxySlice[], nodeLocal: boolean): Service {
  const metadata = { name: 'web', namespace: 'shop' };
  const spec = {
    clusterIP: '10.96.0.1',
    internalTrafficPolicy: nodeLocal ? 'Local' : 'Cluster',
    ports: [
      { name: 'http', port: 80 },
      { name: 'admin', port: 81 },
    ],
  };
  const { service: result } = translateService(
    fromApi<KubeService>({ apiVersion: 'v1', kind: 'Service', metadata, spec }),
    slices.map((slice, i) =>
      fromApi<EndpointSlice>({
        kind: 'EndpointSlice',
        metadata: { ...metadata, name: `web-${i}` },
        ...slice,
      }),
    ),
    meshConfig,
  );
  if (result === undefined) throw new Error('not translated');
  return result;
}

it('chooses from the same endpoints as kube-proxy, whatever slices there are', () => {
  const seen = { some: 0, fewer: 0 };
  fc.assert(
    fc.property(
      someSlices,
      fc.boolean(),
      fc.constantFrom('zone-1', 'zone-3', undefined),
      (slices, nodeLocal, zone) => {
        const from = { ...here, zone };
        const expected = kubeProxy(slices, nodeLocal, from);
        if (expected.size > 0) seen.some++;
        if (expected.size < kubeProxy(slices, false, { node: 'node-c' as NodeName, zone: undefined }).size)
          seen.fewer++;
        const usable = usableEndpoints(translated(slices, nodeLocal), at('10.96.0.1:80'), from);
        const targets = usable.map((endpoint) => targetOf(endpoint, parsePort(80)));
        expect(new Set(targets.map((target) => target && formatSocketAddress(target)))).toEqual(expected);
      },
    ),
    { numRuns: 2000 },
  );
  // Had the generator made nothing to choose from, nothing would have been compared.
  expect(seen.some).toBeGreaterThan(500);
  expect(seen.fewer).toBeGreaterThan(200);
});
