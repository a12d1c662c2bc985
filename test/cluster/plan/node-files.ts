/** The configuration files of a node. Pure. */
import { stringify } from 'yaml';
import { type ClusterLayout, type ClusterNode, clusterPrefix, network } from './layout.ts';

/** Name of the image that holds a pod's namespaces. */
export const pauseImage = 'registry.k8s.io/pause:mesh-ebpf';

export const containerdConfig = (): string => `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
  address = "${containerdSocket}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pauseImage}"
  # In a container, root may not lower its own score, and there is no need to.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
`;

export const containerdSocket = '/run/containerd/containerd.sock';

/**
 * Every pod has a link of its own to the node, and no bridge beside it: on a bridge, answers between pods of one node
 * would pass by kube-proxy's translation unless the host has the br_netfilter module loaded.
 */
export const cniConfig = ({ podCidr, v6 }: ClusterNode, dualStack: boolean): string =>
  json({
    cniVersion: '0.4.0',
    name: clusterPrefix,
    plugins: [
      {
        type: 'ptp',
        ipMasq: false,
        ipam: {
          type: 'host-local',
          ranges: [[{ subnet: podCidr }], ...(dualStack ? [[{ subnet: v6.podCidr }]] : [])],
          routes: [{ dst: '0.0.0.0/0' }, ...(dualStack ? [{ dst: '::/0' }] : [])],
          // After a reboot no pod has an address any more.
          dataDir: '/run/cni',
        },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  });

export const kubeletConfig = (layout: ClusterLayout, node: ClusterNode): string =>
  stringify({
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: layout.pki('cluster-ca.crt') },
    },
    authorization: { mode: 'Webhook' },
    tlsCertFile: layout.pki(`${node.name}.crt`),
    tlsPrivateKeyFile: layout.pki(`${node.name}.key`),
    clusterDomain: 'cluster.local',
    clusterDNS: [network.dns],
    resolvConf: layout.node(node).resolvConf,
    staticPodPath: '/etc/kubernetes/manifests',
    containerRuntimeEndpoint: `unix://${containerdSocket}`,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `/${clusterPrefix}/${node.name}`,
    // The nodes share the machine: there is nothing to set aside for the host on each.
    enforceNodeAllocatable: ['none'],
    failCgroupV1: false,
    failSwapOn: false,
    volumePluginDir: '/var/lib/kubelet/volume-plugins',
    // Images come from files; one that was thrown away could not be fetched again.
    imageGCHighThresholdPercent: 100,
    evictionHard: {
      'memory.available': '50Mi',
      'nodefs.available': '0%',
      'nodefs.inodesFree': '0%',
      'imagefs.available': '0%',
    },
  });

/** For pods with the node's own DNS, and of the node's programs: the cluster's, as there is no other. */
export const resolvConf = (): string => `nameserver ${network.dns}\nsearch svc.cluster.local cluster.local\n`;

const json = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;
