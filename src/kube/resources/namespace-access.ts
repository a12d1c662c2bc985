/**
 * NamespaceAccess, our own kind: what Istio's policies cannot say. The CustomResourceDefinition in
 * `daemonset/base/namespace-access.yaml` is made from this schema.
 */
import { type Static, type TSchema, Type } from 'typebox';
import { DnsLabel, ignored, Labels, NamespacedMetadata, PortNumber } from './fields.ts';

export const accessVersion = 'mesh-ebpf.io/v1alpha1';

const AccessDefault = Type.Enum(['Allow', 'Deny']);

const Cidr = Type.String({
  pattern: '^[0-9a-fA-F.:]+(/[0-9]{1,3})?$',
  maxLength: 49,
  description: 'an address or a CIDR block, 10.0.0.0/8 or fd00::/8',
});

/** Nothing is optional that, left out by mistake, would mean more. */
const list = <Item extends TSchema>(item: Item, maxItems: number) =>
  Type.Array(item, { minItems: 1, maxItems });

const Target = Type.Object({
  cidr: Type.Optional(Cidr),
  except: Type.Optional(list(Cidr, 64)),
  service: Type.Optional(Type.Object({ name: DnsLabel, namespace: DnsLabel })),
  namespace: Type.Optional(DnsLabel),
});

const Port = Type.Object({
  protocol: Type.Enum(['TCP', 'UDP']),
  port: Type.Optional(PortNumber),
  endPort: Type.Optional(PortNumber),
});

const Rule = Type.Object({
  action: Type.Optional(Type.Enum(['Allow', 'Deny'])),
  to: Type.Optional(list(Target, 64)),
  ports: Type.Optional(list(Port, 16)),
});

export const AccessSpec = Type.Object(
  {
    selector: Type.Optional(Type.Object({ matchLabels: Labels })),
    inbound: Type.Optional(Type.Object({ default: AccessDefault })),
    egress: Type.Optional(
      Type.Object({
        default: AccessDefault,
        rules: Type.Optional(Type.Array(Rule, { maxItems: 64 })),
      }),
    ),
  },
  // `to:` with nothing behind it must not become "to anywhere".
  { nulls: 'error' },
);

export const NamespaceAccessSchema = Type.Object({
  apiVersion: Type.Literal(accessVersion),
  kind: Type.Literal('NamespaceAccess'),
  metadata: NamespacedMetadata,
  spec: AccessSpec,
  ...ignored('status'),
});
export type NamespaceAccessObject = Static<typeof NamespaceAccessSchema>;
export type AccessRuleObject = Static<typeof Rule>;
export type AccessTargetObject = Static<typeof Target>;
export type AccessPortObject = Static<typeof Port>;

/** The strictest there is. */
export const denyingSpec: NamespaceAccessObject['spec'] = {
  inbound: { default: 'Deny' },
  egress: { default: 'Deny' },
};
