/** Where the API server keeps the kinds of objects the mesh writes or reads one by one. */
import { MeshError } from '../../base/errors.ts';

export interface Resource {
  /** `v1`, `apps/v1`. */
  readonly apiVersion: string;
  readonly kind: string;
  /** In paths and in RBAC rules. */
  readonly plural: string;
  readonly namespaced: boolean;
}

const resource = (apiVersion: string, kind: string, plural: string, namespaced: boolean): Resource => ({
  apiVersion,
  kind,
  plural,
  namespaced,
});

export const resources = {
  namespaces: resource('v1', 'Namespace', 'namespaces', false),
  pods: resource('v1', 'Pod', 'pods', true),
  events: resource('events.k8s.io/v1', 'Event', 'events', true),
  services: resource('v1', 'Service', 'services', true),
  secrets: resource('v1', 'Secret', 'secrets', true),
  configMaps: resource('v1', 'ConfigMap', 'configmaps', true),
  serviceAccounts: resource('v1', 'ServiceAccount', 'serviceaccounts', true),
  leases: resource('coordination.k8s.io/v1', 'Lease', 'leases', true),
  tokenReviews: resource('authentication.k8s.io/v1', 'TokenReview', 'tokenreviews', false),
  daemonSets: resource('apps/v1', 'DaemonSet', 'daemonsets', true),
  deployments: resource('apps/v1', 'Deployment', 'deployments', true),
  podDisruptionBudgets: resource('policy/v1', 'PodDisruptionBudget', 'poddisruptionbudgets', true),
  roles: resource('rbac.authorization.k8s.io/v1', 'Role', 'roles', true),
  roleBindings: resource('rbac.authorization.k8s.io/v1', 'RoleBinding', 'rolebindings', true),
  clusterRoles: resource('rbac.authorization.k8s.io/v1', 'ClusterRole', 'clusterroles', false),
  clusterRoleBindings: resource(
    'rbac.authorization.k8s.io/v1',
    'ClusterRoleBinding',
    'clusterrolebindings',
    false,
  ),
  customResourceDefinitions: resource(
    'apiextensions.k8s.io/v1',
    'CustomResourceDefinition',
    'customresourcedefinitions',
    false,
  ),
  authorizationPolicies: resource(
    'security.istio.io/v1',
    'AuthorizationPolicy',
    'authorizationpolicies',
    true,
  ),
  peerAuthentications: resource('security.istio.io/v1', 'PeerAuthentication', 'peerauthentications', true),
  namespaceAccesses: resource('mesh-ebpf.io/v1alpha1', 'NamespaceAccess', 'namespaceaccesses', true),
  networkPolicies: resource('networking.k8s.io/v1', 'NetworkPolicy', 'networkpolicies', true),
  serviceMonitors: resource('monitoring.coreos.com/v1', 'ServiceMonitor', 'servicemonitors', true),
  podMonitors: resource('monitoring.coreos.com/v1', 'PodMonitor', 'podmonitors', true),
  prometheusRules: resource('monitoring.coreos.com/v1', 'PrometheusRule', 'prometheusrules', true),
} as const satisfies Record<string, Resource>;

/** @throws MeshError UNSUPPORTED for a kind the mesh has nothing to do with */
export function resourceOf(apiVersion: string, kind: string): Resource {
  const found = Object.values(resources).find((r) => r.apiVersion === apiVersion && r.kind === kind);
  if (found !== undefined) return found;
  throw new MeshError('UNSUPPORTED', `objects of kind ${apiVersion} ${kind} are not the mesh’s`);
}

/** Path of a collection, or of one object in it. */
export function pathOf(
  { apiVersion, plural, namespaced }: Resource,
  { namespace, name }: { readonly namespace?: string | undefined; readonly name?: string | undefined } = {},
): string {
  const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const within = namespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  return `${root}${within}/${plural}${name === undefined ? '' : `/${encodeURIComponent(name)}`}`;
}
