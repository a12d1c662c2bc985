/**
 * What a node asks the API server for, and how little of it. Every node watches, so each byte an object costs is
 * sent once per node: selectors keep out what no node needs, and of namespaces and nodes only the metadata is asked
 * for (their bodies change with every heartbeat).
 */
import { type TObject, Type } from 'typebox';
import type { NodeName } from '../../model/mesh.ts';
import { decode, type Fault } from '../decode.ts';
import { isOfKind, type Kind, kinds, type KubeObject, type Pod, type SourcedObject } from '../objects.ts';
import { NamespaceAccessSchema } from '../resources/namespace-access.ts';
import { keptAnnotations, KeptMetadata, KeptNamespacedMetadata } from '../resources/fields.ts';
import { PodSchema, PodSpec, PodStatus } from '../resources/pod.ts';
import {
  AuthorizationPolicySchema,
  dryRunAnnotation,
  PeerAuthenticationSchema,
} from '../resources/security.ts';
import { EndpointSliceSchema, ServiceSchema } from '../resources/service.ts';

export interface Feed {
  /** `pods of this node`: for people. */
  readonly name: string;
  readonly kind: Kind;
  /** `pods`, `authorizationpolicies.security.istio.io`: as RBAC and kubectl name it. */
  readonly resource: string;
  /** Where it is served: the first of these that the server knows. */
  readonly paths: readonly string[];
  readonly fieldSelector: string | undefined;
  readonly metadataOnly: boolean;
  /** A cluster without this kind is a cluster in order. */
  readonly optional: boolean;
  /** What is kept of an object. */
  readonly schema: TObject;
  /** Fills in what the object's type asks for and nobody keeps. */
  readonly complete: (kept: unknown) => KubeObject;
  /** Tells this feed's objects from those of another feed of its kind. */
  readonly owns: (sourced: SourcedObject) => boolean;
}

type FeedFields = Pick<Feed, 'name' | 'kind' | 'resource' | 'paths' | 'schema'> & Partial<Feed>;

const feed = (fields: FeedFields): Feed => ({
  fieldSelector: undefined,
  metadataOnly: false,
  optional: false,
  complete: (kept) => kept as KubeObject,
  owns: ({ object }) => object.kind === fields.kind,
  ...fields,
});

const KeptPod = Type.Object({
  apiVersion: PodSchema.properties.apiVersion,
  kind: PodSchema.properties.kind,
  metadata: KeptNamespacedMetadata,
  spec: Type.Pick(PodSpec, ['nodeName', 'serviceAccountName', 'hostNetwork']),
  status: Type.Optional(Type.Pick(PodStatus, ['phase', 'podIP', 'podIPs'])),
});

/** For the controller, which asks of every pod only whose it is and where. */
export const placementFeed: Feed = feed({
  name: 'pods',
  kind: 'Pod',
  resource: 'pods',
  paths: ['/api/v1/pods'],
  fieldSelector: 'spec.nodeName!=',
  schema: Type.Object({
    apiVersion: PodSchema.properties.apiVersion,
    kind: PodSchema.properties.kind,
    metadata: Type.Pick(KeptNamespacedMetadata, ['name', 'namespace', 'uid']),
    spec: KeptPod.properties.spec,
    status: Type.Optional(Type.Pick(PodStatus, ['phase'])),
  }),
  complete: completePod,
});

/** A node knows its static pods by another name, and what its pods are annotated with is for it to write. */
const KeptOwnPod = Type.Object({
  ...KeptPod.properties,
  metadata: Type.Object({
    ...KeptNamespacedMetadata.properties,
    annotations: Type.Optional(
      keptAnnotations(
        'sidecar.istio.io/status',
        'mesh-ebpf.io/same-node',
        'mesh-ebpf.io/accelerate',
        'kubernetes.io/config.hash',
        'ambient.istio.io/redirection',
      ),
    ),
  }),
});

const noContainers: Pod['spec']['containers'] = [];

/** The mesh reads no container, so none is kept. */
function completePod(kept: unknown): Pod {
  const pod = kept as Pod;
  return { ...pod, spec: { ...pod.spec, containers: noContainers } };
}

const notEnded = 'status.phase!=Succeeded,status.phase!=Failed';

/** Everything the mesh reads, for the agent of one node. */
export function nodeFeeds(node: NodeName): readonly Feed[] {
  const pods = {
    kind: 'Pod',
    resource: 'pods',
    paths: ['/api/v1/pods'],
    schema: KeptPod,
    complete: completePod,
  } as const;
  const isOwn = (sourced: SourcedObject): boolean =>
    isOfKind(sourced, 'Pod') && sourced.object.spec.nodeName === node;
  return [
    feed({
      name: 'namespaces',
      kind: 'Namespace',
      resource: 'namespaces',
      paths: ['/api/v1/namespaces'],
      metadataOnly: true,
      schema: metadataOf('Namespace', KeptMetadata),
    }),
    // In every phase: a pod is enrolled before its first container runs.
    feed({
      ...pods,
      name: 'pods of this node',
      schema: KeptOwnPod,
      fieldSelector: `spec.nodeName=${node}`,
      owns: isOwn,
    }),
    // Others matter while they have an address, from their init containers on: who dials it must know whose it is.
    feed({
      ...pods,
      name: 'pods of other nodes',
      fieldSelector: `spec.nodeName!=${node},spec.nodeName!=,status.podIP!=,${notEnded}`,
      owns: (sourced) => sourced.object.kind === 'Pod' && !isOwn(sourced),
    }),
    feed({
      name: 'services',
      kind: 'Service',
      resource: 'services',
      paths: ['/api/v1/services'],
      schema: withMetadata(ServiceSchema),
    }),
    feed({
      name: 'endpoint slices',
      kind: 'EndpointSlice',
      resource: 'endpointslices.discovery.k8s.io',
      paths: ['/apis/discovery.k8s.io/v1/endpointslices'],
      schema: withMetadata(EndpointSliceSchema),
    }),
    // All nodes would be one event per node and heartbeat, for every node.
    feed({
      name: 'this node',
      kind: 'Node',
      resource: 'nodes',
      paths: ['/api/v1/nodes'],
      fieldSelector: `metadata.name=${node}`,
      metadataOnly: true,
      schema: metadataOf('Node', KeptMetadata),
    }),
    ...policyFeeds,
  ];
}

const security = (plural: string) => ({
  resource: `${plural}.security.istio.io`,
  paths: ['v1', 'v1beta1'].map((version) => `/apis/security.istio.io/${version}/${plural}`),
  optional: true,
});

const withPolicyMetadata = (schema: TObject): TObject =>
  Type.Object({
    ...schema.properties,
    metadata: Type.Object({
      ...KeptNamespacedMetadata.properties,
      annotations: Type.Optional(keptAnnotations(dryRunAnnotation)),
    }),
  });

const metadataOf = (kind: Kind, metadata: TObject): TObject =>
  Type.Object({ apiVersion: Type.String(), kind: Type.Literal(kind), metadata });

const withMetadata = (schema: TObject): TObject =>
  Type.Object({ ...schema.properties, metadata: KeptNamespacedMetadata });

/** Kinds that say who may talk to whom. */
export type PolicyKind = 'AuthorizationPolicy' | 'PeerAuthentication' | 'NamespaceAccess';

export const policyFeeds: readonly (Feed & { readonly kind: PolicyKind })[] = [
  feed({
    ...security('authorizationpolicies'),
    name: 'authorization policies',
    kind: 'AuthorizationPolicy',
    schema: withPolicyMetadata(AuthorizationPolicySchema),
  }),
  feed({
    ...security('peerauthentications'),
    name: 'peer authentications',
    kind: 'PeerAuthentication',
    schema: withPolicyMetadata(PeerAuthenticationSchema),
  }),
  feed({
    name: 'namespace access',
    kind: 'NamespaceAccess',
    resource: 'namespaceaccesses.mesh-ebpf.io',
    paths: ['/apis/mesh-ebpf.io/v1alpha1/namespaceaccesses'],
    optional: true,
    schema: withMetadata(NamespaceAccessSchema),
  }),
].map((each) => ({ ...each, kind: each.kind as PolicyKind }));

/** For the controller, which says on each of them what becomes of it: whole, with what others have said there. */
export const policyStatusFeeds: readonly Feed[] = policyFeeds.map((each) => ({
  ...each,
  schema: Type.Object(
    {
      apiVersion: Type.String(),
      kind: Type.Literal(each.kind),
      metadata: Type.Object({
        ...KeptNamespacedMetadata.properties,
        annotations: Type.Optional(keptAnnotations(dryRunAnnotation)),
        generation: Type.Optional(Type.Integer()),
        resourceVersion: Type.Optional(Type.String()),
      }),
    },
    { unknown: 'keep' },
  ),
}));

/** An API object as it is kept, or what is wrong with it. Items of a list, and metadata-only objects, lack a header. */
export function keep(feedOf: Feed, raw: Readonly<Record<string, unknown>>): Kept {
  const { kind, schema, complete } = feedOf;
  const [apiVersion] = kinds[kind].apiVersions;
  const { value, faults } = decode(schema, { ...raw, apiVersion, kind }, { strict: false });
  return faults.length === 0 ? { object: complete(value), faults } : { object: undefined, faults };
}

export interface Kept {
  readonly object: KubeObject | undefined;
  readonly faults: readonly Fault[];
}
