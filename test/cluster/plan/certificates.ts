/** Who gets which certificate. Pure. The names are those Kubernetes' authorizers know. */
import { type ClusterNode, network } from './layout.ts';

export type AuthorityName = 'cluster' | 'etcd';

export interface CertificatePlan {
  /** Of its files: NAME.crt, NAME.key. */
  readonly name: string;
  /** etcd trusts an authority of its own: no node's certificate opens the store. */
  readonly authority: AuthorityName;
  readonly commonName: string;
  readonly organization?: string;
  readonly dns?: readonly string[];
  readonly ips?: readonly string[];
  /** The component reads it from a kubeconfig. */
  readonly kubeconfig?: boolean;
}

const controlPlane: readonly CertificatePlan[] = [
  {
    name: 'apiserver',
    authority: 'cluster',
    commonName: 'kube-apiserver',
    dns: [
      'localhost',
      'kubernetes',
      'kubernetes.default',
      'kubernetes.default.svc',
      'kubernetes.default.svc.cluster.local',
    ],
    ips: [network.host, network.apiService],
  },
  {
    name: 'apiserver-kubelet-client',
    authority: 'cluster',
    commonName: 'kube-apiserver-kubelet-client',
    organization: 'system:masters',
  },
  { name: 'apiserver-etcd-client', authority: 'etcd', commonName: 'kube-apiserver-etcd-client' },
  { name: 'etcd', authority: 'etcd', commonName: 'etcd', dns: ['localhost'], ips: ['127.0.0.1'] },
];

const clients: readonly CertificatePlan[] = [
  {
    name: 'admin',
    authority: 'cluster',
    commonName: 'kubernetes-admin',
    organization: 'system:masters',
    kubeconfig: true,
  },
  ...['kube-controller-manager', 'kube-scheduler', 'kube-proxy'].map((name) => ({
    name,
    authority: 'cluster' as const,
    commonName: `system:${name}`,
    kubeconfig: true,
  })),
];

export const certificatePlans = (nodes: readonly ClusterNode[]): readonly CertificatePlan[] => [
  ...controlPlane,
  ...clients,
  ...nodes.map(({ name, ip }) => ({
    name,
    authority: 'cluster' as const,
    commonName: `system:node:${name}`,
    organization: 'system:nodes',
    dns: [name],
    ips: [ip],
    kubeconfig: true,
  })),
];
