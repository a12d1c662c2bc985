/**
 * Istio's security policies, all fields of them: those L4 cannot judge are named too, so that translation can make the
 * policy stricter instead of overlooking a condition. As loose about values as the API server is: what it has accepted
 * must reach translation, which fails closed. Fields that no schema names stay in the object for the same reason.
 * Sources: istio.io/latest/docs/reference/config/security/{authorization-policy,peer_authentication}
 */
import { type Static, type TString, Type } from 'typebox';
import { ignored, Labels, NamespacedMetadata } from './fields.ts';

/** `"true"`: the policy is judged and reported, not enforced. */
export const dryRunAnnotation = 'istio.io/dry-run';

const values = <Item extends TString>(item: Item) => Type.Optional(Type.Array(item));
const text = Type.String({ minLength: 1 });
const port = Type.String({ description: 'a port number in quotes' });
const keepUnknown = { unknown: 'keep' } as const;

const SourceSchema = Type.Object(
  {
    principals: values(text),
    notPrincipals: values(text),
    namespaces: values(text),
    notNamespaces: values(text),
    serviceAccounts: values(text),
    notServiceAccounts: values(text),
    trustDomains: values(text),
    notTrustDomains: values(text),
    ipBlocks: values(text),
    notIpBlocks: values(text),
    requestPrincipals: values(text),
    notRequestPrincipals: values(text),
    remoteIpBlocks: values(text),
    notRemoteIpBlocks: values(text),
  },
  keepUnknown,
);

const OperationSchema = Type.Object(
  {
    ports: values(port),
    notPorts: values(port),
    hosts: values(text),
    notHosts: values(text),
    methods: values(text),
    notMethods: values(text),
    paths: values(text),
    notPaths: values(text),
  },
  keepUnknown,
);

const ConditionSchema = Type.Object(
  { key: text, values: values(text), notValues: values(text) },
  keepUnknown,
);

const RuleSchema = Type.Object(
  {
    from: Type.Optional(Type.Array(Type.Object({ source: Type.Optional(SourceSchema) }), { maxItems: 512 })),
    to: Type.Optional(
      Type.Array(Type.Object({ operation: Type.Optional(OperationSchema) }), { maxItems: 512 }),
    ),
    when: Type.Optional(Type.Array(ConditionSchema)),
  },
  keepUnknown,
);

const TargetReference = Type.Object({
  kind: Type.String(),
  name: Type.String(),
  group: Type.Optional(Type.String()),
  namespace: Type.Optional(Type.String()),
});

const Selector = Type.Optional(Type.Object({ matchLabels: Type.Optional(Labels) }));
const apiVersion = Type.Enum(['security.istio.io/v1', 'security.istio.io/v1beta1']);

export const AuthorizationPolicySpec = Type.Object(
  {
    action: Type.Optional(Type.Enum(['ALLOW', 'DENY', 'AUDIT', 'CUSTOM'])),
    provider: Type.Optional(Type.Object({ name: Type.Optional(Type.String()) })),
    selector: Selector,
    targetRef: Type.Optional(TargetReference),
    targetRefs: Type.Optional(Type.Array(TargetReference, { maxItems: 16 })),
    rules: Type.Optional(Type.Array(RuleSchema, { maxItems: 512 })),
  },
  // `from:` with nothing behind it must not become "from everywhere".
  { nulls: 'error', ...keepUnknown },
);

export const AuthorizationPolicySchema = Type.Object({
  apiVersion,
  kind: Type.Literal('AuthorizationPolicy'),
  metadata: NamespacedMetadata,
  spec: Type.Optional(AuthorizationPolicySpec),
  ...ignored('status'),
});
export type AuthorizationPolicyObject = Static<typeof AuthorizationPolicySchema>;
export type PolicyRuleObject = Static<typeof RuleSchema>;
export type TargetReferenceObject = Static<typeof TargetReference>;

const Mtls = Type.Object({ mode: Type.Optional(Type.Enum(['UNSET', 'DISABLE', 'PERMISSIVE', 'STRICT'])) });

export const PeerAuthenticationSpec = Type.Object(
  {
    selector: Selector,
    mtls: Type.Optional(Mtls),
    portLevelMtls: Type.Optional(Type.Record(Type.String({ pattern: '^[0-9]+$' }), Mtls)),
  },
  { nulls: 'error', ...keepUnknown },
);

export const PeerAuthenticationSchema = Type.Object({
  apiVersion,
  kind: Type.Literal('PeerAuthentication'),
  metadata: NamespacedMetadata,
  spec: Type.Optional(PeerAuthenticationSpec),
  ...ignored('status'),
});
export type PeerAuthenticationObject = Static<typeof PeerAuthenticationSchema>;
