/**
 * The Kubernetes kinds the mesh reads: one table with each kind's schema, and the types the schemas describe. Fields
 * a kind does not name are errors in a person's manifest and are dropped from an API object (`decode.ts`).
 */
import type { TObject } from 'typebox';
import type { Brand } from '../base/brand.ts';
import {
  type Namespace,
  NamespaceSchema,
  type Node,
  NodeSchema,
  type ServiceAccount,
  ServiceAccountSchema,
} from './resources/cluster.ts';
import {
  accessVersion,
  type NamespaceAccessObject,
  NamespaceAccessSchema,
} from './resources/namespace-access.ts';
import { type Pod, PodSchema } from './resources/pod.ts';
import {
  type AuthorizationPolicyObject,
  AuthorizationPolicySchema,
  type PeerAuthenticationObject,
  PeerAuthenticationSchema,
} from './resources/security.ts';
import { type EndpointSlice, EndpointSliceSchema, type Service, ServiceSchema } from './resources/service.ts';
import type { ObjectReference, SourcePosition } from './problem.ts';

export type { NamespaceAccessObject } from './resources/namespace-access.ts';
export type { AuthorizationPolicyObject, PeerAuthenticationObject } from './resources/security.ts';
export type { Namespace, Node, ServiceAccount } from './resources/cluster.ts';
export type { Container, Pod, Probe } from './resources/pod.ts';
export { type EndpointSlice, type Service, serviceNameLabel } from './resources/service.ts';

/** Any object of a known kind; `kind` tells which. */
export type KubeObject =
  | Namespace
  | ServiceAccount
  | Node
  | Pod
  | Service
  | EndpointSlice
  | AuthorizationPolicyObject
  | PeerAuthenticationObject
  | NamespaceAccessObject;

export type Kind = KubeObject['kind'];

export type ObjectOfKind<K extends Kind> = Extract<KubeObject, { readonly kind: K }>;

export interface KindInfo {
  readonly schema: TObject;
  readonly apiVersions: readonly string[];
  readonly namespaced: boolean;
}

const core = { apiVersions: ['v1'] } as const;
const security = {
  apiVersions: ['security.istio.io/v1', 'security.istio.io/v1beta1'],
  namespaced: true,
} as const;

export const kinds: Readonly<Record<Kind, KindInfo>> = {
  Namespace: { ...core, schema: NamespaceSchema, namespaced: false },
  ServiceAccount: { ...core, schema: ServiceAccountSchema, namespaced: true },
  Node: { ...core, schema: NodeSchema, namespaced: false },
  Pod: { ...core, schema: PodSchema, namespaced: true },
  Service: { ...core, schema: ServiceSchema, namespaced: true },
  EndpointSlice: {
    schema: EndpointSliceSchema,
    apiVersions: ['discovery.k8s.io/v1'],
    namespaced: true,
  },
  AuthorizationPolicy: { ...security, schema: AuthorizationPolicySchema },
  PeerAuthentication: { ...security, schema: PeerAuthenticationSchema },
  NamespaceAccess: {
    schema: NamespaceAccessSchema,
    apiVersions: [accessVersion],
    namespaced: true,
  },
};

export const isKind = (text: string): text is Kind => Object.hasOwn(kinds, text);

/** An object, and where it was written if it was written in a file. */
export interface SourcedObject<Object extends KubeObject = KubeObject> {
  readonly object: Object;
  readonly position: SourcePosition | undefined;
}

/** `''` for a kind that has no namespace. */
export const namespaceOf = (object: KubeObject): string =>
  'namespace' in object.metadata ? object.metadata.namespace : '';

export const referenceTo = (object: KubeObject): ObjectReference => ({
  kind: object.kind,
  namespace: namespaceOf(object),
  name: object.metadata.name,
});

/** `KIND/NAMESPACE/NAME`: equal for two objects exactly if the API server would hold only one of them. */
export type ObjectKey = Brand<string, 'ObjectKey'>;

export const objectKey = (object: KubeObject): ObjectKey =>
  `${object.kind}/${namespaceOf(object)}/${object.metadata.name}` as ObjectKey;

export function parseObjectKey(key: ObjectKey): { kind: Kind; namespace: string; name: string } {
  const [kind = '', namespace = '', name = ''] = key.split('/');
  return { kind: kind as Kind, namespace, name };
}

export const isOfKind = <K extends Kind>(
  sourced: SourcedObject,
  kind: K,
): sourced is SourcedObject<ObjectOfKind<K>> => sourced.object.kind === kind;
