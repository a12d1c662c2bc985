/**
 * Where everything of the cluster lives and what it is called. Pure. The common prefix is how `down` finds leftovers
 * of a crash; nothing else on the host may use it.
 */
import { join } from 'node:path';

export const clusterPrefix = 'mesh-cluster';
export const defaultStateDir = '/var/lib/mesh-ebpf-cluster';
export const netnsDir = '/run/netns';

/** Holds the bridge between the nodes, out of reach of whatever rules the host has for forwarding. */
export const fabricNetns = `${clusterPrefix}-fabric`;
export const nodeNetns = (node: string): string => `${clusterPrefix}-${node}`;
/** The host's end of its link to the fabric: the control plane's address is here. */
export const hostLink = `${clusterPrefix}0`;

export const network = {
  host: '172.30.0.1',
  prefixLength: 24,
  pods: '10.244.0.0/16',
  services: '10.96.0.0/16',
  apiService: '10.96.0.1',
  dns: '10.96.0.10',
  v6: { host: 'fd00:30::1', prefixLength: 64, pods: 'fd00:10:244::/48', services: 'fd00:10:96::/108' },
  apiPort: 6443,
  etcdPort: 12379,
  etcdPeerPort: 12380,
} as const;

export const apiServer = `https://${network.host}:${network.apiPort}`;

export interface ClusterNode {
  /** From 1. */
  readonly number: number;
  readonly name: string;
  readonly ip: string;
  readonly podCidr: string;
  /** Used in a cluster with both families. */
  readonly v6: { readonly ip: string; readonly podCidr: string };
}

/** More than three would starve each other on a machine of two cores. */
export const maxNodes = 5;

export const clusterNodes = (count: number): readonly ClusterNode[] =>
  Array.from({ length: count }, (_, i) => nodeOf(i + 1));

const nodeOf = (number: number): ClusterNode => ({
  number,
  name: `node-${number}`,
  ip: `172.30.0.${10 + number}`,
  podCidr: `10.244.${number}.0/24`,
  v6: { ip: `fd00:30::${10 + number}`, podCidr: `fd00:10:244:${number}::/64` },
});

/**
 * Directories of a node's own disk, mounted over the host's: where Kubernetes' components, and the mesh, keep things on any machine.
 */
export const nodeDirectories = [
  '/etc/cni/net.d',
  '/etc/kubernetes/manifests',
  '/opt/cni/bin',
  '/var/lib/cni',
  '/var/lib/containerd',
  '/var/lib/kubelet',
  '/var/lib/mesh-ebpf',
  '/var/log/containers',
  '/var/log/pods',
] as const;

export interface NodePaths {
  readonly dir: string;
  /** Where `path` of the node's disk is on the host. */
  disk(path: (typeof nodeDirectories)[number], ...below: readonly string[]): string;
  /** Made by the node's process 1 once everything is mounted. */
  readonly booted: string;
  readonly containerdConfig: string;
  readonly kubeletConfig: string;
  readonly resolvConf: string;
}

export interface ClusterLayout {
  readonly stateDir: string;
  readonly stateFile: string;
  readonly adminKubeconfig: string;
  readonly etcdData: string;
  pki(file: string): string;
  kubeconfig(user: string): string;
  log(daemon: string): string;
  /** Who runs a daemon: pid and start time. */
  pid(daemon: string): string;
  node(node: ClusterNode): NodePaths;
}

export function clusterLayout(stateDir: string = defaultStateDir): ClusterLayout {
  const at = (...parts: string[]): string => join(stateDir, ...parts);
  return {
    stateDir,
    stateFile: at('cluster.json'),
    adminKubeconfig: at('admin.kubeconfig'),
    etcdData: at('etcd'),
    pki: (file) => at('pki', file),
    kubeconfig: (user) => at(`${user}.kubeconfig`),
    log: (daemon) => at('log', `${daemon}.log`),
    pid: (daemon) => at('pid', `${daemon}.json`),
    node: ({ name }) => nodePaths(at(name)),
  };
}

const nodePaths = (dir: string): NodePaths => ({
  dir,
  disk: (path, ...below) => join(dir, 'disk', path, ...below),
  booted: join(dir, 'booted'),
  containerdConfig: join(dir, 'containerd.toml'),
  kubeletConfig: join(dir, 'kubelet.yaml'),
  resolvConf: join(dir, 'resolv.conf'),
});

/** Below the mount point of a cgroup tree. */
export const clusterCgroup = (mount: string): string => join(mount, clusterPrefix);
export const controlCgroup = (mount: string): string => join(clusterCgroup(mount), 'control');
export const nodeCgroup = (mount: string, { name }: ClusterNode): string => join(clusterCgroup(mount), name);
/** Where the node's daemons are; its pods are beside it, in `kubepods`. */
export const systemCgroup = (mount: string, node: ClusterNode): string =>
  join(nodeCgroup(mount, node), 'system');
