/** Input of `ip -batch` for the links between the nodes. Pure. */
import { type ClusterNode, fabricNetns, hostLink, network, nodeNetns } from './layout.ts';

const bridge = 'br0';
/** The bridge's port for the host. */
const hostPort = 'host';

/** On the host: the fabric, and the host's link to it. */
export const fabricScript = (): string =>
  lines(
    `netns add ${fabricNetns}`,
    `link add ${hostLink} type veth peer name ${hostPort} netns ${fabricNetns}`,
    `addr add ${network.host}/${network.prefixLength} dev ${hostLink}`,
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
export const nodeScript = ({ name, ip, podCidr }: ClusterNode): string =>
  lines(`netns add ${nodeNetns(name)}`, `route replace ${podCidr} via ${ip}`);

/** In the fabric: the bridge's port for the node, with the other end in the node's namespace. */
export const portScript = ({ name }: ClusterNode): string =>
  lines(
    `link add ${name} type veth peer name eth0 netns ${nodeNetns(name)}`,
    `link set ${name} master ${bridge} up`,
  );

/** In the node's namespace. */
export const inNodeScript = (node: ClusterNode, nodes: readonly ClusterNode[]): string =>
  lines(
    'link set lo up',
    `addr add ${node.ip}/${network.prefixLength} dev eth0`,
    'link set eth0 up',
    `route add default via ${network.host}`,
    ...nodes
      .filter(({ name }) => name !== node.name)
      .map(({ podCidr, ip }) => `route add ${podCidr} via ${ip}`),
  );

const lines = (...text: readonly string[]): string => `${text.join('\n')}\n`;
