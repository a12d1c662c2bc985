/**
 * What the mesh calls its own things in a cluster. The manifests in `daemonset/` say the same names; a test compares
 * them.
 */
export const meshNamespace = 'mesh-ebpf-system';
export const controllerName = 'mesh-ebpf-controller';
/** DaemonSet and service account of the node program. */
export const nodeAgentName = 'mesh-ebpf-node';

/** Audience of the tokens by which node programs prove who they are: good for nothing else. */
export const tokenAudience = 'mesh-ebpf-ca';
/** The Secret with the authority's keys, and the key of its only entry. */
export const authoritySecret = 'mesh-ebpf-ca';
export const authorityEntry = 'authority.json';
/** The ConfigMap with the roots, in each enrolled namespace; entries as Istio names its own. */
export const trustBundleMap = 'mesh-ebpf-ca-root-cert';
export const trustBundleEntry = 'root-cert.pem';
/** The ConfigMap by which people ask for rotations and see how far they are. */
export const statusMap = 'mesh-ebpf-ca-status';
export const statusEntry = 'status.json';
export const rotateAnnotation = 'mesh-ebpf.io/rotate';
export const leaderLease = 'mesh-ebpf-controller';

/** On everything the controller makes: only what bears it is ever changed or deleted. */
export const managedBy = { 'app.kubernetes.io/managed-by': controllerName } as const;
