/**
 * The lab's address plan. Pure. All addresses live in the lab's own namespaces, so they cannot clash with the
 * host's. A pod's last IPv4 octet and its last IPv6 group carry the same number: people can match them by eye.
 */
import { parseIp } from '../base/ip.ts';
import type { IpAddress } from '../base/ip.ts';

/** Nodes are numbered from 1; the number is in all their addresses. */
export interface LabNode {
  readonly name: string;
  readonly number: number;
  readonly ipv4: IpAddress;
  readonly ipv6: IpAddress;
  readonly podCidr4: string;
  readonly podCidr6: string;
}

export const maxNodes = 16;
export const fabricBits = { v4: 24, v6: 64 } as const;

export const serviceCidr4 = '10.96.0.0/16';
export const serviceCidr6 = 'fd10:96::/112';
/** Where every node answers DNS. */
export const dnsAddresses: readonly IpAddress[] = [parseIp('10.96.0.10'), parseIp('fd10:96::a')];

/** Next hops inside pods; no interface has them: static neighbours point at the node's end of the link. */
export const podGateway4 = '169.254.1.1';
export const podGateway6 = 'fe80::1';

export const clusterDomain = 'cluster.local';

export function labNode(number: number): LabNode {
  return {
    name: `node-${String.fromCharCode(0x60 + number)}`,
    number,
    ipv4: parseIp(`10.10.0.${number}`),
    ipv6: parseIp(`fd10::${number.toString(16)}`),
    podCidr4: `10.244.${number}.0/24`,
    podCidr6: `fd10:244:${number.toString(16)}::/64`,
  };
}

export const labNodes = (count: number): readonly LabNode[] =>
  Array.from({ length: count }, (_, i) => labNode(i + 1));

/** Hosts 2 to 254 of a node's pod range. */
export const podHosts = { first: 2, last: 254 } as const;

export const podIps = (node: LabNode, host: number): readonly [IpAddress, IpAddress] => [
  parseIp(`10.244.${node.number}.${host}`),
  parseIp(`fd10:244:${node.number.toString(16)}::${host.toString(16)}`),
];

/** Service numbers 256 to 65534: the first /24 is left for fixed addresses such as DNS. */
export const serviceHosts = { first: 256, last: 65534 } as const;

export const serviceIps = (host: number): readonly [IpAddress, IpAddress] => [
  parseIp(`10.96.${host >> 8}.${host & 0xff}`),
  parseIp(`fd10:96::${host.toString(16)}`),
];
