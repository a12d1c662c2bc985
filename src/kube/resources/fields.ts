/**
 * Field schemas the kinds share, and the three ways a kind names its fields: read (a schema), known but not read
 * (`ignored`: accepted whatever it holds, and dropped), and absent here (an error in a manifest a person wrote).
 * Names follow Kubernetes' own validation (RFC 1123), so that what passes here passes `kubectl apply` too.
 */
import { Type } from 'typebox';

const label = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';

export const DnsLabel = Type.String({
  pattern: `^${label}$`,
  maxLength: 63,
  description: 'a DNS label (lower-case letters, digits and dashes, at most 63)',
});

export const DnsName = Type.String({
  pattern: `^${label}(\\.${label})*$`,
  maxLength: 253,
  description: 'a DNS name (lower-case letters, digits, dashes and dots, at most 253)',
});

export const PortNumber = Type.Integer({
  minimum: 1,
  maximum: 65535,
  description: 'a port number from 1 to 65535',
});

/** IANA's service names: with a letter, so that no name looks like a number (RFC 6335 §5.1). */
export const PortName = Type.String({
  pattern: `^(?=.*[a-z])${label}$`,
  maxLength: 15,
  description: 'the name of a port (lower-case letters, digits and dashes, at most 15)',
});

/** A number, or the name of a container port. */
export const PortReference = Type.Union([PortNumber, PortName]);

export const Protocol = Type.Enum(['TCP', 'UDP', 'SCTP']);

const qualifiedName = '([A-Za-z0-9.-]{1,253}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?';

export const Labels = Type.Record(
  Type.String({ pattern: `^${qualifiedName}$` }),
  Type.String({
    pattern: '^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$',
    description: 'a label value (letters, digits, "-", "_" and ".", at most 63)',
  }),
);

const Annotations = Type.Record(Type.String({ pattern: `^${qualifiedName}$` }), Type.String());

/** A field that Kubernetes knows and nothing here reads. */
const ignoredField = Type.Optional(Type.Unknown());

/** Properties for fields that are accepted with any value and dropped. */
export function ignored<const Name extends string>(...names: Name[]): Record<Name, typeof ignoredField> {
  return Object.fromEntries(names.map((name) => [name, ignoredField])) as Record<Name, typeof ignoredField>;
}

export const OwnerReference = Type.Object({
  apiVersion: Type.String(),
  kind: Type.String(),
  name: Type.String(),
  controller: Type.Optional(Type.Boolean()),
  ...ignored('uid', 'blockOwnerDeletion'),
});

const commonMetadata = {
  labels: Type.Optional(Labels),
  annotations: Type.Optional(Annotations),
  uid: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
  resourceVersion: Type.Optional(Type.String()),
  /** RFC 3339. */
  creationTimestamp: Type.Optional(Type.String()),
  deletionTimestamp: Type.Optional(Type.String()),
  ownerReferences: Type.Optional(Type.Array(OwnerReference)),
  ...ignored(
    'generateName',
    'generation',
    'finalizers',
    'managedFields',
    'selfLink',
    'deletionGracePeriodSeconds',
  ),
};

export const ClusterMetadata = Type.Object({ name: DnsName, ...commonMetadata });

/** As kubectl does, an object without a namespace is in `default`. */
export const NamespacedMetadata = Type.Object({
  name: DnsName,
  namespace: Type.String({ ...DnsLabel, default: 'default' }),
  ...commonMetadata,
});

export const keptAnnotations = (...names: string[]) =>
  Type.Object(Object.fromEntries(names.map((name) => [name, Type.Optional(Type.String())])));

/**
 * What is kept of the metadata of an object that comes from an API, where there may be 100 000 of them. Annotations
 * can be long: of all of them only those are named that something reads.
 */
const keptMetadata = {
  labels: Type.Optional(Labels),
  annotations: Type.Optional(
    keptAnnotations('sidecar.istio.io/status', 'mesh-ebpf.io/same-node', 'mesh-ebpf.io/accelerate'),
  ),
  uid: commonMetadata.uid,
  creationTimestamp: Type.Optional(Type.String()),
  deletionTimestamp: Type.Optional(Type.String()),
  ownerReferences: Type.Optional(
    Type.Array(Type.Pick(OwnerReference, ['apiVersion', 'kind', 'name', 'controller'])),
  ),
};

export const KeptMetadata = Type.Object({ name: DnsName, ...keptMetadata });

export const KeptNamespacedMetadata = Type.Object({ name: DnsName, namespace: DnsLabel, ...keptMetadata });
