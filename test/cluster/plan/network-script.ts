/** Input of `ip -batch` for the links between the nodes. Pure. */
import { type ClusterNode, fabricNetns, hostLink, network, nodeNetns } from './layout.ts';

const bridge = 'br0';
/** The bridge's port for the host. */
const hostPort = 'host';

/** On the host: the fabric, and the host's link to it. */
export const fabricScript = (dualStack: boolean): string =>
  lines(
    `netns add ${fabricNetns}`,
    `link add ${hostLink} type veth peer name ${hostPort} netns ${fabricNetns}`,
    `addr add ${network.host}/${network.prefixLength} dev ${hostLink}`,
    ...(dualStack ? [addressV6(network.v6.host, hostLink)] : []),
    `link set ${hostLink} up`,
  );

/** In the fabric. */
export const bridgeScript = (): string =>
  lines(
    `link add ${bridge} type bridge`,
    `link set ${bridge} up`,
    `link set ${hostPort} master ${bridge} up`,
  );

/** On the host: the node's namespace, and the way to its pods. */
export const nodeScript = ({ name, ip, podCidr, v6 }: ClusterNode, dualStack: boolean): string =>
  lines(
    `netns add ${nodeNetns(name)}`,
    `route replace ${podCidr} via ${ip}`,
    ...(dualStack ? [`route replace ${v6.podCidr} via ${v6.ip}`] : []),
  );

/** In the fabric: the bridge's port for the node, with the other end in the node's namespace. */
export const portScript = ({ name }: ClusterNode): string =>
  lines(
    `link add ${name} type veth peer name eth0 netns ${nodeNetns(name)}`,
    `link set ${name} master ${bridge} up`,
  );

/** In the node's namespace. */
export const inNodeScript = (
  node: ClusterNode,
  nodes: readonly ClusterNode[],
  dualStack: boolean,
): string => {
  const others = nodes.filter(({ name }) => name !== node.name);
  return lines(
    'link set lo up',
    `addr add ${node.ip}/${network.prefixLength} dev eth0`,
    ...(dualStack ? [addressV6(node.v6.ip, 'eth0')] : []),
    'link set eth0 up',
    `route add default via ${network.host}`,
    ...others.map(({ podCidr, ip }) => `route add ${podCidr} via ${ip}`),
    ...(dualStack
      ? [
          `route add ::/0 via ${network.v6.host}`,
          ...others.map(({ v6 }) => `route add ${v6.podCidr} via ${v6.ip}`),
        ]
      : []),
  );
};

/** Usable at once: nobody else on these links could have the address. */
const addressV6 = (ip: string, link: string): string =>
  `addr add ${ip}/${network.v6.prefixLength} dev ${link} nodad`;

const lines = (...text: readonly string[]): string => `${text.join('\n')}\n`;
