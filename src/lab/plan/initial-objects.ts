/** The objects a lab has before anybody applies one: its nodes and the default namespace. Pure. */
import { createHash } from 'node:crypto';
import type { KubeObject } from '../../kube/objects.ts';
import type { LabNode } from '../topology.ts';

export function initialObjects(nodes: readonly LabNode[], now: string): readonly KubeObject[] {
  const metadata = (name: string) => ({ name, uid: uidOf(name), creationTimestamp: now });
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: metadata('default') },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { ...metadata('default'), namespace: 'default' } },
    ...nodes.map((node): KubeObject => ({
      apiVersion: 'v1',
      kind: 'Node',
      metadata: metadata(node.name),
      spec: { podCIDR: node.podCidr4, podCIDRs: [node.podCidr4, node.podCidr6] },
      status: {
        addresses: [
          { type: 'InternalIP', address: node.ipv4 },
          { type: 'InternalIP', address: node.ipv6 },
          { type: 'Hostname', address: node.name },
        ],
      },
    })),
  ];
}

/** Stable, as nothing tells the nodes of two labs apart. */
const uidOf = (name: string): string => {
  const hex = createHash('sha256').update(`mesh-ebpf lab ${name}`).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join(
    '-',
  );
};
