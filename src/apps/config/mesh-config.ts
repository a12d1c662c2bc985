/** The settings every program of one mesh must share. Names of variables as Istio's ztunnel has them. */
import { parseTrustDomain } from '../../model/identity.ts';
import type { MeshConfig } from '../../model/mesh.ts';
import { parseClusterDns } from './values.ts';

export interface MeshFlags {
  readonly trustDomain?: string;
  readonly clusterDomain?: string;
  readonly clusterId?: string;
  readonly rootNamespace?: string;
  readonly clusterDns?: string;
}

export function meshConfig(
  flags: MeshFlags,
  environment: Readonly<Record<string, string | undefined>>,
): MeshConfig {
  return Object.freeze({
    trustDomain: parseTrustDomain(flags.trustDomain ?? environment['TRUST_DOMAIN'] ?? 'cluster.local'),
    clusterDomain: flags.clusterDomain ?? environment['CLUSTER_DOMAIN'] ?? 'cluster.local',
    clusterId: flags.clusterId ?? environment['CLUSTER_ID'] ?? 'Kubernetes',
    rootNamespace: flags.rootNamespace ?? environment['ROOT_NAMESPACE'] ?? 'istio-system',
    clusterDns: parseClusterDns(flags.clusterDns ?? environment['CLUSTER_DNS'] ?? 'kube-system/kube-dns'),
  });
}
