/** Random worlds of policies, and connections into them: few names and values, so that they meet often. */
import * as fc from 'fast-check';
import {
  type AccessObject,
  type Connection,
  type PeerObject,
  type PolicyObject,
  rootNamespace,
  type World,
} from './documented.ts';

const oneOf = <T>(...values: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...values);
const maybe = <T>(value: fc.Arbitrary<T>, nil = 1): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: nil, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value });

const namespace = oneOf('shop', 'other', rootNamespace);
const clientNamespaces = ['shop', 'other', 'bots', rootNamespace] as const;
const accounts = ['web', 'api', 'web-2'] as const;
const trustDomains = ['cluster.local', 'old.org'] as const;
const sourceIps = ['10.0.0.1', '10.0.0.2', '10.1.2.3', '192.168.7.9', 'fd00::1', 'fd00:1::2'] as const;
export const workloadIps = ['10.9.9.9', 'fd00:9::9'] as const;
const ports = [80, 443, 8080] as const;

const principals = [
  'cluster.local/ns/shop/sa/web',
  'cluster.local/ns/other/sa/api',
  'old.org/ns/bots/sa/web-2',
  'spiffe://cluster.local/ns/shop/sa/api',
  'spiffe://old.org/*',
  'cluster.local/ns/shop/*',
  'cluster.local/ns/shop/sa/web*',
  '*/sa/web',
  '*/sa/web*',
  '*',
  'spiffe://*',
  'nobody',
  '',
] as const;
const strings = [
  'shop',
  'other',
  'bots',
  rootNamespace,
  'sh*',
  'o*',
  '*s',
  '*op',
  '*',
  '*o*',
  'none',
  's',
] as const;
const domains = ['cluster.local', 'old.org', '*.local', 'old*', '*', 'x'] as const;
const serviceAccounts = ['shop/web', 'other/api', 'web', 'api', 'bots/web-2', 'none/none'] as const;
const blocks = [
  '10.0.0.0/8',
  '10.0.0.1',
  '10.0.0.0/31',
  '10.0.0.3/31',
  '192.168.0.0/16',
  '0.0.0.0/0',
  '::/0',
  'fd00::/16',
  'fd00::1',
  'fd00:1::/32',
  'fd00:9::/64',
  '10.9.9.9/32',
] as const;
/** That no strict reader takes for an address or a block. */
const noBlocks = [
  '010.0.0.1',
  '10.0.0',
  '10.0.0.0/33',
  '10.0.0.0/08',
  'fd00::/129',
  '1.2.3.4/8/8',
  'x',
] as const;

/** Few values, or more than are compared one by one. */
const list = (values: readonly string[], filler: (i: number) => string): fc.Arbitrary<readonly string[]> =>
  fc.oneof(
    { weight: 12, arbitrary: fc.array(fc.constantFrom(...values), { minLength: 1, maxLength: 3 }) },
    {
      weight: 1,
      arbitrary: fc
        .array(fc.constantFrom(...values), { minLength: 1, maxLength: 3 })
        .map((some) => [...Array.from({ length: 8 }, (_, i) => filler(i)), ...some]),
    },
  );

const nonEmpty = (value: object): boolean => Object.values(value).some((each) => each !== undefined);

const filled = (values: readonly string[], prefix: string) =>
  list(
    values.filter((v) => v !== ''),
    (i) => `${prefix}${i}`,
  );
const someStrings = filled(strings, 'ns');
const somePrincipals = filled(principals, 'p');
const someDomains = filled(domains, 'td');
const someAccounts = fc.oneof(
  { weight: 20, arbitrary: filled(serviceAccounts, 'x/s') },
  { weight: 1, arbitrary: oneOf<readonly string[]>(['shop/*'], ['web', '*']) },
);
const someBlocks = fc.oneof(
  { weight: 20, arbitrary: list(blocks, (i) => `203.0.113.${i}`) },
  { weight: 1, arbitrary: fc.tuple(oneOf(...noBlocks), oneOf(...blocks)) },
);
const somePorts = fc.oneof(
  { weight: 20, arbitrary: list(ports.map(String), (i) => String(9000 + i)) },
  { weight: 1, arbitrary: oneOf<readonly string[]>(['0'], ['80', 'http'], ['65536']) },
);
const rarely = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => maybe(value, 30);

const source = fc
  .record({
    namespaces: maybe(someStrings, 2),
    notNamespaces: maybe(someStrings, 5),
    principals: maybe(somePrincipals, 2),
    notPrincipals: maybe(somePrincipals, 5),
    serviceAccounts: maybe(someAccounts, 4),
    notServiceAccounts: maybe(someAccounts, 8),
    trustDomains: maybe(someDomains, 8),
    notTrustDomains: maybe(someDomains, 12),
    ipBlocks: maybe(someBlocks, 5),
    notIpBlocks: maybe(someBlocks, 7),
    requestPrincipals: rarely(fc.constant(['*'])),
    remoteIpBlocks: rarely(fc.constant(['10.0.0.0/8'])),
    notRemoteIpBlocks: rarely(fc.constant(['10.0.0.0/8'])),
  })
  .filter(nonEmpty);

const operation = fc
  .record({
    ports: maybe(somePorts, 1),
    notPorts: maybe(somePorts, 2),
    methods: rarely(fc.constant(['GET'])),
    notPaths: rarely(fc.constant(['/x'])),
  })
  .filter(nonEmpty);

const valuesOf = (key: string, values: fc.Arbitrary<readonly string[]>) =>
  fc
    .record({ key: fc.constant(key), values: maybe(values), notValues: maybe(values, 2) })
    .filter(({ values: yes, notValues: no }) => yes !== undefined || no !== undefined);

const condition = fc.oneof(
  { weight: 4, arbitrary: valuesOf('source.namespace', someStrings) },
  { weight: 4, arbitrary: valuesOf('source.principal', somePrincipals) },
  { weight: 4, arbitrary: valuesOf('source.ip', someBlocks) },
  { weight: 4, arbitrary: valuesOf('destination.ip', someBlocks) },
  { weight: 4, arbitrary: valuesOf('destination.port', somePorts) },
  { weight: 1, arbitrary: valuesOf('request.headers[x]', someStrings) },
  { weight: 1, arbitrary: valuesOf('connection.sni', someStrings) },
);

const few = <T>(item: fc.Arbitrary<T>, most: number): fc.Arbitrary<readonly T[]> =>
  fc.array(item, { minLength: 1, maxLength: most });

const rule = fc.record({
  from: maybe(
    few(
      source.map((fields) => ({ source: fields })),
      3,
    ),
  ),
  to: maybe(
    few(
      operation.map((fields) => ({ operation: fields })),
      2,
    ),
  ),
  when: maybe(few(condition, 2), 2),
});

const labels = fc.dictionary(oneOf('app', 'tier'), oneOf('web', 'front'), {
  maxKeys: 2,
  noNullPrototype: true,
});
const selector = maybe(fc.record({ matchLabels: labels }), 2);
const targets = maybe(
  few(
    oneOf(
      { kind: 'Service', group: '', name: 'cart' },
      { kind: 'Service', group: 'core', name: 'web' },
      { kind: 'Gateway', group: 'gateway.networking.k8s.io', name: 'cart' },
    ),
    2,
  ),
  9,
);

const policy: fc.Arbitrary<PolicyObject> = fc
  .record({
    namespace,
    name: fc.nat({ max: 20 }).map((id) => `p${id}`),
    action: oneOf(undefined, 'ALLOW', 'ALLOW', 'DENY', 'DENY', 'AUDIT', 'CUSTOM'),
    selector,
    targetRefs: targets,
    // A DENY without rules is refused as a mistake: docs/policy.md.
    rules: maybe(fc.array(rule, { maxLength: 3 }), 1),
    dryRun: oneOf(undefined, undefined, undefined, 'true', 'false'),
  })
  .map(({ namespace: where, name, action, selector: chosen, targetRefs, rules, dryRun }) => ({
    metadata: {
      namespace: where,
      name,
      ...(dryRun === undefined ? {} : { annotations: { 'istio.io/dry-run': dryRun } }),
    },
    spec: {
      action,
      selector: targetRefs === undefined ? chosen : undefined,
      targetRefs,
      rules,
    } as PolicyObject['spec'],
  }));

const mode = oneOf('UNSET', 'DISABLE', 'PERMISSIVE', 'STRICT', 'STRICT');
const mtls = fc.record({ mode });

const peer: fc.Arbitrary<PeerObject> = fc
  .record({
    namespace,
    name: fc.nat({ max: 9 }).map((id) => `m${id}`),
    creationTimestamp: oneOf('2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'),
    matchLabels: maybe(labels),
    mtls: maybe(mtls, 1),
    portLevelMtls: maybe(
      fc.dictionary(oneOf('80', '443'), mtls, { minKeys: 1, maxKeys: 2, noNullPrototype: true }),
    ),
  })
  .map(({ matchLabels, portLevelMtls, mtls: own, ...metadata }) => ({
    metadata,
    spec: {
      ...(own === undefined ? {} : { mtls: own }),
      ...(matchLabels === undefined ? {} : { selector: { matchLabels } }),
      // Modes of ports need a selector: docs/policy.md.
      ...(portLevelMtls === undefined || Object.keys(matchLabels ?? {}).length === 0
        ? {}
        : { portLevelMtls }),
    },
  }));

const access: fc.Arbitrary<AccessObject> = fc
  .record({
    namespace,
    name: fc.nat({ max: 9 }).map((id) => `a${id}`),
    matchLabels: maybe(labels),
    inbound: oneOf(undefined, 'Allow', 'Deny'),
  })
  .map(({ matchLabels, inbound, ...metadata }) => ({
    metadata,
    spec: {
      ...(matchLabels === undefined ? {} : { selector: { matchLabels } }),
      ...(inbound === undefined ? {} : { inbound: { default: inbound } }),
    },
  }));

const named = ({ metadata }: PolicyObject | PeerObject | AccessObject): string =>
  `${metadata.namespace}/${metadata.name}`;

export const anyWorld: fc.Arbitrary<World> = fc.record({
  policies: fc.uniqueArray(policy, { selector: named, maxLength: 6 }),
  peers: fc.oneof(
    { weight: 2, arbitrary: fc.constant<PeerObject[]>([]) },
    { weight: 1, arbitrary: fc.uniqueArray(peer, { selector: named, maxLength: 4 }) },
  ),
  access: fc.oneof(
    { weight: 2, arbitrary: fc.constant<AccessObject[]>([]) },
    { weight: 1, arbitrary: fc.uniqueArray(access, { selector: named, maxLength: 3 }) },
  ),
  workload: fc.record({ namespace, labels, serves: fc.subarray(['cart', 'web']) }),
});

export const anyConnection: fc.Arbitrary<Connection> = fc.record({
  identity: fc.option(
    fc.record({
      trustDomain: oneOf(...trustDomains),
      namespace: oneOf(...clientNamespaces),
      serviceAccount: oneOf(...accounts),
    }),
    { nil: undefined, freq: 4 },
  ),
  sourceIp: oneOf(...sourceIps),
  destinationIp: oneOf(...workloadIps),
  port: oneOf<number>(...ports),
});
