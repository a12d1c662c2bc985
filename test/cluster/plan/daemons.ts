/** Every long-running program of the cluster: its command line and where it runs. Pure. */
import { join } from 'node:path';
import { MeshError } from '../../../src/base/errors.ts';
import type { Argv } from '../../../src/lab/system/enter.ts';
import { type ClusterLayout, type ClusterNode, clusterNodes, network } from './layout.ts';

export const proxyModes = ['nftables', 'iptables'] as const;
export type ProxyMode = (typeof proxyModes)[number];

export interface DaemonPlan {
  /** `etcd`, `kubelet@node-1`. */
  readonly name: string;
  /** Runs in this node's namespaces; on the host when undefined. */
  readonly node?: ClusterNode;
  readonly argv: Argv;
}

export interface DaemonSettings {
  readonly layout: ClusterLayout;
  /** Of the programs that were built. */
  readonly bin: string;
  readonly nodeCount: number;
  readonly proxyMode: ProxyMode;
  /** IPv6 beside IPv4. */
  readonly dualStack: boolean;
}

export const controlPlaneDaemons = (settings: DaemonSettings): readonly DaemonPlan[] => [
  { name: 'etcd', argv: etcd(settings) },
  { name: 'kube-apiserver', argv: apiServer(settings) },
  { name: 'kube-controller-manager', argv: controllerManager(settings) },
  { name: 'kube-scheduler', argv: scheduler(settings) },
];

/** In the order in which a machine's init would start them. */
export const nodeDaemons = (settings: DaemonSettings, node: ClusterNode): readonly DaemonPlan[] =>
  [
    { program: 'containerd', argv: containerd(settings, node) },
    { program: 'kubelet', argv: kubelet(settings, node) },
    { program: 'kube-proxy', argv: kubeProxy(settings, node) },
  ].map(({ program, argv }) => ({ name: daemonName(program, node), node, argv }));

export const daemonName = (program: string, node: ClusterNode): string => `${program}@${node.name}`;

export const allDaemons = (settings: DaemonSettings): readonly DaemonPlan[] => [
  ...controlPlaneDaemons(settings),
  ...clusterNodes(settings.nodeCount).flatMap((node) => nodeDaemons(settings, node)),
];

/** @throws MeshError INVALID_ARGUMENT with the names there are */
export function findDaemon(settings: DaemonSettings, name: string): DaemonPlan {
  const all = allDaemons(settings);
  const found = all.find((daemon) => daemon.name === name);
  if (found !== undefined) return found;
  throw new MeshError('INVALID_ARGUMENT', `the cluster has no "${name}"`, {
    hint: `it has ${all.map((daemon) => daemon.name).join(', ')}`,
  });
}

/** One of each family, as Kubernetes' components write it. */
const families = ({ dualStack }: DaemonSettings, v4: string, v6: string): string =>
  dualStack ? `${v4},${v6}` : v4;

const etcdUrl = `https://127.0.0.1:${network.etcdPort}`;
const etcdPeerUrl = `http://127.0.0.1:${network.etcdPeerPort}`;

const etcd = ({ layout, bin }: DaemonSettings): Argv => [
  join(bin, 'etcd'),
  `--data-dir=${layout.etcdData}`,
  `--listen-client-urls=${etcdUrl}`,
  `--advertise-client-urls=${etcdUrl}`,
  // A single member has no peers, but etcd insists on the address.
  `--listen-peer-urls=${etcdPeerUrl}`,
  `--initial-advertise-peer-urls=${etcdPeerUrl}`,
  `--initial-cluster=default=${etcdPeerUrl}`,
  `--cert-file=${layout.pki('etcd.crt')}`,
  `--key-file=${layout.pki('etcd.key')}`,
  '--client-cert-auth',
  `--trusted-ca-file=${layout.pki('etcd-ca.crt')}`,
  // A cluster for trying things out need not survive a power failure.
  '--unsafe-no-fsync',
];

const apiServer = (settings: DaemonSettings): Argv => [
  join(settings.bin, 'kube-apiserver'),
  `--etcd-servers=${etcdUrl}`,
  `--etcd-cafile=${settings.layout.pki('etcd-ca.crt')}`,
  `--etcd-certfile=${settings.layout.pki('apiserver-etcd-client.crt')}`,
  `--etcd-keyfile=${settings.layout.pki('apiserver-etcd-client.key')}`,
  // Only the nodes and this host reach it.
  `--bind-address=${network.host}`,
  `--advertise-address=${network.host}`,
  `--secure-port=${network.apiPort}`,
  `--service-cluster-ip-range=${families(settings, network.services, network.v6.services)}`,
  `--client-ca-file=${settings.layout.pki('cluster-ca.crt')}`,
  `--tls-cert-file=${settings.layout.pki('apiserver.crt')}`,
  `--tls-private-key-file=${settings.layout.pki('apiserver.key')}`,
  '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
  `--service-account-key-file=${settings.layout.pki('service-account.pub')}`,
  `--service-account-signing-key-file=${settings.layout.pki('service-account.key')}`,
  `--kubelet-certificate-authority=${settings.layout.pki('cluster-ca.crt')}`,
  `--kubelet-client-certificate=${settings.layout.pki('apiserver-kubelet-client.crt')}`,
  `--kubelet-client-key=${settings.layout.pki('apiserver-kubelet-client.key')}`,
  '--kubelet-preferred-address-types=InternalIP',
  '--authorization-mode=Node,RBAC',
  '--enable-admission-plugins=NodeRestriction',
  '--allow-privileged=true',
  // This host has no kube-proxy: webhooks are called by the addresses of their pods.
  '--enable-aggregator-routing=true',
];

const controllerManager = ({ layout, bin }: DaemonSettings): Argv => [
  join(bin, 'kube-controller-manager'),
  `--kubeconfig=${layout.kubeconfig('kube-controller-manager')}`,
  `--root-ca-file=${layout.pki('cluster-ca.crt')}`,
  `--cluster-signing-cert-file=${layout.pki('cluster-ca.crt')}`,
  `--cluster-signing-key-file=${layout.pki('cluster-ca.key')}`,
  `--service-account-private-key-file=${layout.pki('service-account.key')}`,
  '--use-service-account-credentials=true',
  // Node N has 10.244.N.0/24 by its CNI configuration, not by the order of registration.
  '--allocate-node-cidrs=false',
  '--leader-elect=false',
  '--secure-port=0',
];

const scheduler = ({ layout, bin }: DaemonSettings): Argv => [
  join(bin, 'kube-scheduler'),
  `--kubeconfig=${layout.kubeconfig('kube-scheduler')}`,
  '--leader-elect=false',
  '--secure-port=0',
];

const containerd = ({ layout }: DaemonSettings, node: ClusterNode): Argv => [
  'containerd',
  `--config=${layout.node(node).containerdConfig}`,
];

const kubelet = (settings: DaemonSettings, node: ClusterNode): Argv => [
  join(settings.bin, 'kubelet'),
  `--config=${settings.layout.node(node).kubeletConfig}`,
  `--kubeconfig=${settings.layout.kubeconfig(node.name)}`,
  `--hostname-override=${node.name}`,
  `--node-ip=${families(settings, node.ip, node.v6.ip)}`,
  `--node-labels=topology.kubernetes.io/zone=zone-${node.number}`,
];

const kubeProxy = (settings: DaemonSettings, node: ClusterNode): Argv => [
  join(settings.bin, 'kube-proxy'),
  `--kubeconfig=${settings.layout.kubeconfig('kube-proxy')}`,
  `--hostname-override=${node.name}`,
  `--proxy-mode=${settings.proxyMode}`,
  `--cluster-cidr=${families(settings, network.pods, network.v6.pods)}`,
  // The table of connections belongs to the host.
  '--conntrack-max-per-core=0',
];
