/** Whom a policy concerns: the workloads its selector or its targetRefs choose, in its namespace or in the mesh. */
import { type MeshConfig, serviceKey } from '../../model/mesh.ts';
import type { PeerAuthentication, PolicyScope } from '../../model/policy.ts';
import type { AuthorizationPolicyObject, TargetReferenceObject } from '../resources/security.ts';
import type { Remark } from './policy-rules.ts';

export interface Target {
  readonly scope: PolicyScope;
  readonly remarks: readonly Remark[];
}

interface Selecting {
  readonly metadata: { readonly namespace: string };
  readonly spec?:
    { readonly selector?: { readonly matchLabels?: Readonly<Record<string, string>> } } | undefined;
}

/** A selector without labels selects everybody. */
export function selectorScope(
  { metadata, spec }: Selecting,
  { rootNamespace }: MeshConfig,
): PeerAuthentication['scope'] {
  const labels = spec?.selector?.matchLabels ?? {};
  if (Object.keys(labels).length > 0) return { type: 'selector', labels };
  return { type: metadata.namespace === rootNamespace ? 'mesh' : 'namespace' };
}

/**
 * Istio hands a policy with targetRefs to a waypoint. Without one, a policy for a Service is enforced at the pods
 * that serve it; one for a gateway concerns connections that never get here. Whom anything else would concern nobody
 * can tell, so the whole namespace is.
 */
export function targetOf(object: AuthorizationPolicyObject, config: MeshConfig): Target {
  const { metadata, spec = {} } = object;
  const references = [...(spec.targetRef === undefined ? [] : [spec.targetRef]), ...(spec.targetRefs ?? [])];
  if (references.length === 0) return { scope: selectorScope(object, config), remarks: [] };
  const read = references.map((reference, i) =>
    readReference(reference, metadata.namespace, `spec.targetRefs[${i}]`),
  );
  const both = spec.selector === undefined ? [] : [twoTargets];
  const remarks = [...read.flatMap(({ remark }) => remark ?? []), ...both];
  const isUnclear = remarks.some(({ type }) => type === 'unreadable');
  const services = read.flatMap(({ service }) => (service === undefined ? [] : [service]));
  return { scope: isUnclear ? { type: 'namespace' } : { type: 'services', services }, remarks };
}

const twoTargets: Remark = {
  type: 'unreadable',
  field: 'spec.selector',
  message: 'there are targetRefs already: only one of the two can be set',
};

interface ReadReference {
  readonly service: ReturnType<typeof serviceKey> | undefined;
  readonly remark: Remark | undefined;
}

const gateways: ReadonlySet<string> = new Set([
  'gateway.networking.k8s.io/Gateway',
  'gateway.networking.k8s.io/GatewayClass',
  'networking.istio.io/ServiceEntry',
]);

function readReference(
  { group = '', kind, name, namespace }: TargetReferenceObject,
  own: string,
  field: string,
): ReadReference {
  if (namespace !== undefined && namespace !== own) {
    const message = `${kind} ${namespace}/${name} is in another namespace than the policy`;
    return { service: undefined, remark: { type: 'unreadable', field, message } };
  }
  if (kind === 'Service' && (group === '' || group === 'core')) {
    const message = `without a waypoint it is enforced at the pods that serve ${name}, however they are reached`;
    return { service: serviceKey(own, name), remark: { type: 'warning', field, message } };
  }
  if (gateways.has(`${group}/${kind}`)) {
    const message = `${kind} ${name} is a proxy of its own: only connections through it are concerned, and mesh-ebpf has none`;
    return { service: undefined, remark: { type: 'warning', field, message } };
  }
  const message = `${kind} is nothing a policy can be for: Service, Gateway, GatewayClass or ServiceEntry`;
  return { service: undefined, remark: { type: 'unreadable', field, message } };
}
