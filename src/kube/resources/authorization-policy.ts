/**
 * Istio's AuthorizationPolicy, all fields of it: those L4 cannot judge are named too, so that translation can refuse
 * them by name instead of overlooking a condition. As loose about values as the API server is: what it has accepted
 * must reach translation, which can fail closed; an object refused here is not in force at all. Source: istio.io/latest/docs/reference/config/security/authorization-policy
 */
import { type Static, type TString, Type } from 'typebox';
import { ignored, Labels, NamespacedMetadata } from './fields.ts';

const values = <Item extends TString>(item: Item) => Type.Optional(Type.Array(item));
const text = Type.String({ minLength: 1 });
const port = Type.String({ description: 'a port number in quotes' });

const SourceSchema = Type.Object({
  principals: values(text),
  notPrincipals: values(text),
  namespaces: values(text),
  notNamespaces: values(text),
  serviceAccounts: values(text),
  notServiceAccounts: values(text),
  ipBlocks: values(text),
  notIpBlocks: values(text),
  requestPrincipals: values(text),
  notRequestPrincipals: values(text),
  remoteIpBlocks: values(text),
  notRemoteIpBlocks: values(text),
});

const OperationSchema = Type.Object({
  ports: values(port),
  notPorts: values(port),
  hosts: values(text),
  notHosts: values(text),
  methods: values(text),
  notMethods: values(text),
  paths: values(text),
  notPaths: values(text),
});

const RuleSchema = Type.Object({
  from: Type.Optional(Type.Array(Type.Object({ source: SourceSchema }), { maxItems: 512 })),
  to: Type.Optional(Type.Array(Type.Object({ operation: OperationSchema }), { maxItems: 512 })),
  when: Type.Optional(Type.Array(Type.Object({ key: text, values: values(text), notValues: values(text) }))),
});

const TargetReference = Type.Object({
  kind: Type.String(),
  name: Type.String(),
  group: Type.Optional(Type.String()),
  namespace: Type.Optional(Type.String()),
});

export const AuthorizationPolicySchema = Type.Object({
  apiVersion: Type.Enum(['security.istio.io/v1', 'security.istio.io/v1beta1']),
  kind: Type.Literal('AuthorizationPolicy'),
  metadata: NamespacedMetadata,
  spec: Type.Optional(
    Type.Object(
      {
        action: Type.Optional(Type.Enum(['ALLOW', 'DENY'])),
        selector: Type.Optional(Type.Object({ matchLabels: Type.Optional(Labels) })),
        targetRef: Type.Optional(TargetReference),
        targetRefs: Type.Optional(Type.Array(TargetReference)),
        rules: Type.Optional(Type.Array(RuleSchema, { maxItems: 512 })),
      },
      // `from:` with nothing behind it must not become "from everywhere".
      { nulls: 'error' },
    ),
  ),
  ...ignored('status'),
});
export type AuthorizationPolicyObject = Static<typeof AuthorizationPolicySchema>;
export type PolicyRuleObject = Static<typeof RuleSchema>;
