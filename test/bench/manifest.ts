/**
 * The bench's lab as Kubernetes YAML: for each variant a client on one node and a server on the other, or on the same
 * one, in an enrolled namespace or an unmeshed one. Pure. Servers echo small messages and take iperf3's tests; proxies of the peers are
 * started in these pods by their variants.
 */

import type { VariantId } from './variants/variant.ts';

export const enrolledNamespace = 'bench-mesh';
export const plainNamespace = 'bench-plain';

/** The echo server's ports: several, so that short connections do not run out of local ports. */
export const echoPorts = { first: 7000, count: 16 } as const;
export const bulkPort = 5201;

/** Of pairs that share one. */
export const sharedNode = 'node-a';

export interface PodPair {
  readonly namespace: string;
  readonly client: string;
  readonly server: string;
  /** Absent: the server is on another node than the client. */
  readonly sameNode?: 'kernel' | 'hbone';
  readonly accelerated?: boolean;
}

export function podPair(variant: VariantId): PodPair {
  // A large mesh changes nothing of the pods.
  const pods = variant === 'node-large' ? 'node-kernel' : variant;
  const enrolled = pods === 'mesh' || (pods.startsWith('node-') && pods !== 'node-none');
  return {
    namespace: enrolled ? enrolledNamespace : plainNamespace,
    client: `${pods}-client`,
    server: `${pods}-server`,
    ...(pods.startsWith('node-') && { sameNode: pods === 'node-hbone' ? 'hbone' : 'kernel' }),
    ...(pods === 'node-accelerated' && { accelerated: true }),
  };
}

/** `load` is the path of the built load generator. */
export function benchManifest(pairs: readonly PodPair[], load: string): string {
  const documents = [
    namespace(enrolledNamespace, { 'istio.io/dataplane-mode': 'ambient' }),
    namespace(plainNamespace, {}),
    ...pairs.flatMap((pair) => [
      ...[pair.client, pair.server].map((name) => account(pair.namespace, name)),
      pod(pair, { name: pair.client, node: sharedNode, command: clientCommand }),
      pod(pair, {
        name: pair.server,
        node: pair.sameNode === undefined ? 'node-b' : sharedNode,
        command: serverCommand(load),
      }),
    ]),
  ];
  return documents.map((document) => JSON.stringify(document, undefined, 2)).join('\n---\n');
}

const namespace = (name: string, labels: object): object => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels },
});

const account = (inNamespace: string, name: string): object => ({
  apiVersion: 'v1',
  kind: 'ServiceAccount',
  metadata: { namespace: inNamespace, name },
});

interface PodSpec {
  readonly name: string;
  readonly node: string;
  readonly command: readonly string[];
}

const pod = (pair: PodPair, { name, node, command }: PodSpec): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { namespace: pair.namespace, name, annotations: annotations(pair) },
  spec: {
    nodeName: node,
    serviceAccountName: name,
    terminationGracePeriodSeconds: 0,
    containers: [{ name: 'bench', command }],
  },
});

const annotations = ({ sameNode, accelerated }: PodPair): object => ({
  ...(sameNode !== undefined && { 'mesh-ebpf.io/same-node': sameNode }),
  ...(accelerated === true && { 'mesh-ebpf.io/accelerate': 'true' }),
});

/** More local ports than the default: thousands of short connections a second, each a minute in TIME_WAIT. */
const widePorts = 'echo 10240 65535 >/proc/sys/net/ipv4/ip_local_port_range';

const clientCommand = ['sh', '-c', `${widePorts}; exec sleep infinity`];

const serverCommand = (load: string): readonly string[] => [
  'sh',
  '-c',
  `${widePorts}; iperf3 --server --port ${bulkPort} >/dev/null & exec "$0" serve ${echoPorts.first} ${echoPorts.count}`,
  load,
];
