/** Any rules, over few addresses and ports so that they meet, and what they mean: written straight from docs/egress.md. */
import * as fc from 'fast-check';
import { type IpAddress, parseIp } from '../../../../src/base/ip.ts';
import type { EgressRule, EgressTarget, NamespaceAccess, Transport } from '../../../../src/model/access.ts';
import type { MeshView } from '../../../../src/model/view.ts';
import { access, rule } from '../../../support/egress.ts';
import { meshOf, pod, service } from '../../../support/mesh-builder.ts';

export const web = pod('shop/web', { ips: ['10.244.1.2'], labels: { app: 'web' } });

/** Whom rules may name, outside of the mesh: what goes there is egress. */
export const unmeshedCrowd = () => ({
  workloads: [
    pod('data/db', { ips: ['10.1.2.3', 'fd00:1::3'], protocol: 'tcp' }),
    pod('data/cache', { ips: ['10.1.2.4'], protocol: 'tcp' }),
  ],
  services: [
    service('data/db', '10.96.0.7', '5432:5432', [{ address: '10.1.2.3' }]),
    service('kube-system/kube-dns', '10.96.0.10', '53:53', [{ address: '10.1.9.9' }]),
  ],
});

export const meshWith = (objects: readonly NamespaceAccess[]) =>
  meshOf({
    workloads: [web, ...unmeshedCrowd().workloads],
    services: unmeshedCrowd().services,
    access: objects,
  });

const blocks = [
  '0.0.0.0/0',
  '::/0',
  '::/64',
  '10.0.0.0/8',
  '10.1.0.0/16',
  '10.1.2.0/24',
  '10.1.2.3/32',
  '10.1.2.3/31',
  '10.96.0.0/16',
  'fd00::/16',
  'fd00:1::/32',
  '10.0.0.0/8-10.1.0.0/16',
  '10.0.0.0/8-10.1.2.3-10.1.2.4',
  '10.1.2.3-10.1.2.3',
  '0.0.0.0/0-10.0.0.0/8-10.96.0.7',
  '::/0-fd00:1::/32',
  'data/db',
  'data/gone',
  '@data',
  '@kube-system',
];

const portWords = [
  'tcp',
  'udp',
  '53/udp',
  '53/tcp',
  '443/tcp',
  '400-500/tcp',
  '500-600/tcp',
  '501/tcp',
  '0-52/udp',
];

const anyRule: fc.Arbitrary<EgressRule> = fc
  .tuple(
    fc.constantFrom('allow' as const, 'deny' as const),
    fc.array(fc.constantFrom(...blocks), { maxLength: 3 }),
    fc.array(fc.constantFrom(...portWords), { maxLength: 3 }),
  )
  .map(([action, targets, ports]) => rule(action, [...targets, ...ports].join(' ')));

const anyAccess = (name: string): fc.Arbitrary<NamespaceAccess> =>
  fc
    .tuple(fc.constantFrom('allow' as const, 'deny' as const), fc.array(anyRule, { maxLength: 4 }))
    .map(([byDefault, rules]) => access(name, { egress: { default: byDefault, rules } }));

export const anyAccessesIn = (namespace: string): fc.Arbitrary<readonly NamespaceAccess[]> =>
  fc
    .tuple(anyAccess(`${namespace}/a`), fc.option(anyAccess(`${namespace}/b`), { nil: undefined }))
    .map((objects) => objects.filter((object) => object !== undefined));

export const anyAccesses = anyAccessesIn('shop');

export const addresses: readonly IpAddress[] = [
  '10.1.2.2',
  '10.1.2.3',
  '10.1.2.4',
  '10.1.3.1',
  '10.96.0.7',
  '10.96.0.10',
  '10.200.0.1',
  '8.8.8.8',
  '0.0.0.1',
  '255.255.255.255',
  '::2',
  'fd00:1::3',
  'fd00:2::1',
  '2001:db8::1',
  '::fffe:10.1.2.3',
].map(parseIp);

export const ports = [1, 52, 53, 54, 399, 400, 443, 500, 501, 600, 601, 65_535];

export const transports = ['tcp', 'udp'] as const;

const bitsOf = (text: string): string =>
  text.includes('.') && !text.includes(':')
    ? text
        .split('.')
        .map((part) => Number(part).toString(2).padStart(8, '0'))
        .join('')
    : expanded(text)
        .map((group) => Number.parseInt(group, 16).toString(2).padStart(16, '0'))
        .join('');

/** Bit by bit, so that it shares nothing with the code. */
function inBlock(ip: IpAddress, base: IpAddress, length: number): boolean {
  const [a, b] = [bitsOf(ip), bitsOf(base)];
  return a.length === b.length && a.slice(0, length) === b.slice(0, length);
}

function expanded(text: string): string[] {
  const [head = '', tail = ''] = text.split('::');
  const [front, back] = [groupsOf(head), groupsOf(tail)];
  const missing = text.includes('::') ? 8 - front.length - back.length : 0;
  return [...front, ...Array<string>(missing).fill('0'), ...back];
}

const groupsOf = (half: string): string[] =>
  half === ''
    ? []
    : half.split(':').flatMap((group) => {
        const quad = group.split('.').map(Number);
        const [a = 0, b = 0, c = 0, d = 0] = quad;
        return quad.length === 4 ? [((a << 8) | b).toString(16), ((c << 8) | d).toString(16)] : [group];
      });

function holdsAt(target: EgressTarget, view: MeshView, ip: IpAddress): boolean {
  switch (target.type) {
    case 'cidr':
      return (
        inBlock(ip, target.prefix.base, target.prefix.length) &&
        target.except.every(({ base, length }) => !inBlock(ip, base, length))
      );
    case 'service':
      return view.services.get(target.service)?.vips.includes(ip) ?? false;
    case 'namespace':
      return [
        ...[...view.services.values()]
          .filter((each) => each.namespace === target.namespace)
          .flatMap(({ vips }) => vips),
        ...[...view.workloads.values()]
          .filter((each) => each.namespace === target.namespace)
          .flatMap((each) => each.addresses),
      ].includes(ip);
  }
}

/** The naive reading. */
export function naive(
  objects: readonly NamespaceAccess[],
  view: MeshView,
  ip: IpAddress,
  port: number,
  protocol: Transport,
): boolean {
  if (objects.length === 0) return true;
  const rules = objects.flatMap(({ egress }) => egress?.rules ?? []);
  const holding = rules.filter(
    ({ to, ports: ranges }) =>
      (to === undefined || to.some((target) => holdsAt(target, view, ip))) &&
      (ranges === undefined ||
        ranges.some((each) => each.protocol === protocol && port >= each.first && port <= each.last)),
  );
  if (holding.some(({ action }) => action === 'deny')) return false;
  if (holding.length > 0) return true;
  if (ip === '10.96.0.10' && port === 53) return true;
  return objects.every(({ egress }) => egress?.default !== 'deny');
}

/** Of every address, port and protocol. */
export const everyQuestion = addresses.flatMap((ip) =>
  ports.flatMap((port) => transports.map((protocol) => ({ ip, port, protocol }))),
);
