/**
 * The CustomResourceDefinitions of Istio's security policies, made from the schemas that this program reads them by.
 * For clusters where Istio is not: where the definitions are, they are left as they are. What a schema cannot say is
 * said in CEL, as Istio does. `tools/gen-crds.ts` writes them down for kubectl.
 */
import { AuthorizationPolicySpec, PeerAuthenticationSpec } from '../../kube/resources/security.ts';
import type { Manifest } from './kustomize.ts';
import { acceptedColumn } from './policy-status-schema.ts';

type Schema = Readonly<Record<string, unknown>>;

interface Validation {
  readonly message: string;
  readonly rule: string;
}

interface Definition {
  readonly kind: string;
  readonly plural: string;
  readonly shortName: string;
  readonly spec: Schema;
  /** At paths of the spec, `''` for itself. */
  readonly validations: Readonly<Record<string, readonly Validation[]>>;
  readonly column: { readonly name: string; readonly jsonPath: string };
}

const given = (field: string): string => `(has(self.${field}) ? 1 : 0)`;

const definitions: readonly Definition[] = [
  {
    kind: 'AuthorizationPolicy',
    plural: 'authorizationpolicies',
    shortName: 'ap',
    spec: AuthorizationPolicySpec as unknown as Schema,
    validations: {
      '': [
        {
          message: 'only one of selector, targetRef and targetRefs can be set',
          rule: `${['selector', 'targetRef', 'targetRefs'].map(given).join(' + ')} <= 1`,
        },
      ],
      'rules[].from[].source': [
        {
          message: 'serviceAccounts cannot be set with namespaces or principals',
          rule:
            '(has(self.serviceAccounts) || has(self.notServiceAccounts)) ? (!has(self.principals) && ' +
            '!has(self.notPrincipals) && !has(self.namespaces) && !has(self.notNamespaces)) : true',
        },
      ],
    },
    column: { name: 'Action', jsonPath: '.spec.action' },
  },
  {
    kind: 'PeerAuthentication',
    plural: 'peerauthentications',
    shortName: 'pa',
    spec: PeerAuthenticationSpec as unknown as Schema,
    validations: {
      '': [
        {
          message: 'portLevelMtls needs a selector',
          rule: 'has(self.portLevelMtls) ? has(self.selector) && has(self.selector.matchLabels) && self.selector.matchLabels.size() > 0 : true',
        },
      ],
      portLevelMtls: [
        {
          message: 'a port is a number from 1 to 65535',
          rule: 'self.all(key, 0 < int(key) && int(key) <= 65535)',
        },
      ],
    },
    column: { name: 'Mode', jsonPath: '.spec.mtls.mode' },
  },
];

const group = 'security.istio.io';

export const securityCrds = (): readonly Manifest[] =>
  definitions.map(({ kind, plural, shortName, spec, validations, column }) => ({
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        shortNames: [shortName],
        categories: ['istio-io', 'security-istio-io'],
      },
      scope: 'Namespaced',
      versions: ['v1', 'v1beta1'].map((name) => ({
        name,
        served: true,
        storage: name === 'v1',
        subresources: { status: {} },
        additionalPrinterColumns: [
          { ...column, type: 'string' },
          acceptedColumn,
          { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
        ],
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: {
              spec: structural(spec, '', validations),
              status: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
            },
          },
        },
      })),
    },
  }));

/** A JSON schema in the part of it that the API server takes. */
function structural(schema: Schema, path: string, validations: Definition['validations']): Schema {
  const rules = validations[path];
  return {
    ...body(schema, path, validations),
    ...(rules === undefined ? {} : { 'x-kubernetes-validations': rules }),
  };
}

function body(schema: Schema, path: string, validations: Definition['validations']): Schema {
  const { properties, patternProperties, items, required } = schema;
  const step = (name: string): string => (path === '' ? name : `${path}.${name}`);
  if (properties !== undefined) {
    const fields = Object.entries(properties as Readonly<Record<string, Schema>>);
    return {
      type: 'object',
      ...(required === undefined || (required as readonly string[]).length === 0 ? {} : { required }),
      properties: Object.fromEntries(
        fields.map(([name, field]) => [name, structural(field, step(name), validations)]),
      ),
    };
  }
  if (patternProperties !== undefined) {
    const [value = {}] = Object.values(patternProperties as Readonly<Record<string, Schema>>);
    return { type: 'object', additionalProperties: structural(value, step('*'), validations) };
  }
  if (items !== undefined) {
    const item = structural(items as Schema, `${path}[]`, validations);
    return { type: 'array', ...limits(schema), items: item };
  }
  return { type: 'string', ...limits(schema) };
}

const kept = ['enum', 'const', 'pattern', 'minLength', 'maxLength', 'minItems', 'maxItems', 'description'];

const limits = (schema: Schema): Schema =>
  Object.fromEntries(Object.entries(schema).filter(([name]) => kept.includes(name)));
