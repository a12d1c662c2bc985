/**
 * What kube-proxy would program, as one nftables ruleset a node: cluster addresses are translated to a random ready
 * endpoint, for pods and for the node itself; one without endpoints is refused at once. Pure. Source addresses stay,
 * except where a pod reaches itself through a Service: then the answer must come back through the node.
 */
import { isIpv4 } from '../../base/ip.ts';
import type { IpAddress } from '../../base/ip.ts';
import { dnsAddresses, serviceCidr4, serviceCidr6 } from '../topology.ts';
import type { LabNode } from '../topology.ts';
import { targetsOfFamily } from './service-table.ts';
import type { TablePort, TableService, Target } from './service-table.ts';

const table = 'inet mesh-lab';

/** Replaces the table in one transaction; connections that exist keep their translation. */
export function serviceRules(services: readonly TableService[], node: LabNode): string {
  const virtual = services.flatMap(virtualPorts);
  const endpoints = [...new Set(virtual.flatMap(({ targets }) => targets.map(({ ip }) => ip)))];
  return [
    `table ${table} {}`,
    `delete table ${table}`,
    `table ${table} {`,
    ...virtual.flatMap((port, i) => targetChain(port, i)),
    ...([4, 6] as const).flatMap((family) => [
      ...serviceMap(virtual, family),
      ...hairpinSet(
        endpoints.filter((ip) => isIpv4(ip) === (family === 4)),
        family,
      ),
    ]),
    ...baseChains(node),
    '}',
    '',
  ].join('\n');
}

interface VirtualPort {
  readonly vip: IpAddress;
  readonly port: TablePort;
  /** At least one, of the family of `vip`. */
  readonly targets: readonly Target[];
}

/** Those with a target; what is missing here is refused. */
const virtualPorts = (service: TableService): VirtualPort[] =>
  service.vips.flatMap((vip) =>
    service.ports.flatMap((port) => {
      const targets = targetsOfFamily(port, isIpv4(vip));
      return targets.length === 0 ? [] : [{ vip, port, targets }];
    }),
  );

const chainName = (index: number): string => `service-${index}`;

function targetChain({ vip, port, targets }: VirtualPort, index: number): string[] {
  const family = isIpv4(vip) ? 'ip' : 'ip6';
  const choices = targets.map(({ ip, port: number }, i) => `${i} : ${ip} . ${number}`).join(', ');
  return [
    `  chain ${chainName(index)} {`,
    `    meta l4proto ${port.protocol} dnat ${family} to numgen random mod ${targets.length} map { ${choices} }`,
    '  }',
  ];
}

function serviceMap(virtual: readonly VirtualPort[], family: 4 | 6): string[] {
  const elements = virtual.flatMap(({ vip, port }, i) =>
    isIpv4(vip) === (family === 4) ? [`${vip} . ${port.protocol} . ${port.port} : goto ${chainName(i)}`] : [],
  );
  return [
    `  map services${family} {`,
    `    type ipv${family}_addr . inet_proto . inet_service : verdict`,
    ...elementsLine(elements),
    '  }',
  ];
}

function hairpinSet(endpoints: readonly IpAddress[], family: 4 | 6): string[] {
  return [
    `  set self${family} {`,
    `    type ipv${family}_addr . ipv${family}_addr`,
    ...elementsLine(endpoints.map((ip) => `${ip} . ${ip}`)),
    '  }',
  ];
}

const elementsLine = (elements: readonly string[]): string[] =>
  elements.length === 0 ? [] : [`    elements = { ${elements.join(', ')} }`];

/** `refuse` runs after the translation: what still aims at a cluster address then has nobody behind it. */
function baseChains(node: LabNode): string[] {
  const [dns4, dns6] = dnsAddresses;
  const translate = [
    '    ip daddr . meta l4proto . th dport vmap @services4',
    '    ip6 daddr . meta l4proto . th dport vmap @services6',
  ];
  const refuse = [
    `    ip daddr != { ${serviceCidr4} } accept`,
    `    ip6 daddr != { ${serviceCidr6} } accept`,
    `    ip daddr ${dns4} accept`,
    `    ip6 daddr ${dns6} accept`,
    '    meta l4proto tcp reject with tcp reset',
    '    reject with icmpx type port-unreachable',
  ];
  return [
    ...chain('translate-pods', 'nat hook prerouting priority -100', translate),
    ...chain('translate-node', 'nat hook output priority -100', translate),
    ...chain('refuse-pods', 'filter hook prerouting priority -50', refuse),
    ...chain('refuse-node', 'filter hook output priority -50', refuse),
    ...chain('hairpin', 'nat hook postrouting priority 100', [
      `    ct status dnat ip saddr . ip daddr @self4 snat ip to ${node.ipv4}`,
      `    ct status dnat ip6 saddr . ip6 daddr @self6 snat ip6 to ${node.ipv6}`,
    ]),
  ];
}

const chain = (name: string, hook: string, rules: readonly string[]): string[] => [
  `  chain ${name} {`,
  `    type ${hook};`,
  ...rules,
  '  }',
];
