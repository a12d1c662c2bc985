/**
 * The network as text for `ip -batch`: one script makes the fabric with all nodes, one a pod's link on its node, one
 * the pod's own side. Pure. Links are routed, not bridged, below the node, and every neighbour is static, so there is
 * no ARP, no duplicate address detection and nothing to wait for. IPv6 addresses are `nodad` for the same reason.
 */
import type { IpAddress } from '../../base/ip.ts';
import { isIpv4 } from '../../base/ip.ts';
import { fabricNetns, nodeNetns, podLink, podNetns } from '../layout.ts';
import {
  dnsAddresses,
  fabricBits,
  podGateway4,
  podGateway6,
  serviceCidr4,
  serviceCidr6,
} from '../topology.ts';
import type { LabNode } from '../topology.ts';

/** The MAC of the node's end of every pod link: there is one pod on a link, so one address serves all. */
const gatewayMac = '02:6c:61:62:00:01';
const bridge = 'fabric';

/** To be run in the host's namespace: makes the namespaces and the links between them. */
export function fabricScript(nodes: readonly LabNode[]): string {
  const netns = [fabricNetns, ...nodes.map((node) => nodeNetns(node.name))];
  return lines([
    ...netns.map((name) => `netns add ${name}`),
    `link add ${bridge} netns ${fabricNetns} type bridge`,
    ...nodes.map(
      (node) =>
        `link add ${node.name} netns ${fabricNetns} type veth peer name eth0 netns ${nodeNetns(node.name)}`,
    ),
  ]);
}

/** To be run in the fabric's namespace. */
export function bridgeScript(nodes: readonly LabNode[]): string {
  return lines([
    `link set ${bridge} addrgenmode none up`,
    ...nodes.map((node) => `link set ${node.name} addrgenmode none master ${bridge} up`),
  ]);
}

/**
 * To be run in a node's namespace. Service addresses are routed somewhere so that the node's own connections get as
 * far as the rules that translate or refuse them; all else outside the lab is refused at once.
 */
export function nodeScript(node: LabNode, all: readonly LabNode[]): string {
  return lines([
    'link set lo up',
    'link set eth0 up',
    `address add ${node.ipv4}/${fabricBits.v4} dev eth0`,
    `address add ${node.ipv6}/${fabricBits.v6} dev eth0 nodad`,
    ...dnsAddresses.map(
      (ip) => `address add ${ip}/${isIpv4(ip) ? 32 : 128} dev lo${isIpv4(ip) ? '' : ' nodad'}`,
    ),
    `route add ${serviceCidr4} dev eth0 src ${node.ipv4}`,
    `route add ${serviceCidr6} dev eth0 src ${node.ipv6}`,
    'route add unreachable default metric 4278198272',
    'route add unreachable ::/0 metric 4278198272',
    ...all.filter((other) => other.number !== node.number).flatMap((other) => routesTo(other, node)),
  ]);
}

const routesTo = (other: LabNode, from: LabNode): readonly string[] => [
  `route add ${other.podCidr4} via ${other.ipv4} src ${from.ipv4}`,
  `route add ${other.podCidr6} via ${other.ipv6} src ${from.ipv6}`,
];

export interface PodNetwork {
  readonly uid: string;
  readonly ips: readonly IpAddress[];
}

/** To be run in the node's namespace, with the host's mounts: makes the pod's namespace and link. */
export function podLinkScript(pod: PodNetwork, node: LabNode): string {
  const link = podLink(pod.uid);
  const netns = podNetns(pod.uid);
  return lines([
    `netns add ${netns}`,
    `link add ${link} address ${gatewayMac} type veth peer name eth0 address ${podMac(pod)} netns ${netns}`,
    `link set ${link} addrgenmode none up`,
    ...pod.ips.flatMap((ip) => [
      `neigh replace ${ip} lladdr ${podMac(pod)} dev ${link} nud permanent`,
      `route add ${fullLength(ip)} dev ${link} src ${isIpv4(ip) ? node.ipv4 : node.ipv6}`,
    ]),
  ]);
}

/** To be run in the pod's namespace. */
export function podScript(pod: PodNetwork): string {
  return lines([
    'link set lo up',
    'link set eth0 addrgenmode none up',
    ...pod.ips.map((ip) => `address add ${fullLength(ip)} dev eth0${isIpv4(ip) ? '' : ' nodad'}`),
    ...[podGateway4, podGateway6].map(
      (gateway) => `neigh replace ${gateway} lladdr ${gatewayMac} dev eth0 nud permanent`,
    ),
    `route add default via ${podGateway4} dev eth0 onlink`,
    `route add ::/0 via ${podGateway6} dev eth0 onlink`,
  ]);
}

/** To be run in the host's namespace. The link goes with the namespace. */
export const deleteNetnsScript = (names: readonly string[]): string =>
  lines(names.map((name) => `netns del ${name}`));

const fullLength = (ip: IpAddress): string => `${ip}/${isIpv4(ip) ? 32 : 128}`;

/** Locally administered, from the pod's IPv4 address, so that packet captures can be read. */
function podMac(pod: PodNetwork): string {
  const octets = (pod.ips.find(isIpv4) ?? '0.0.0.0').split('.').map(Number);
  return ['02', '6c', ...octets.map((octet) => octet.toString(16).padStart(2, '0'))].join(':');
}

const lines = (commands: readonly string[]): string => commands.map((line) => `${line}\n`).join('');
