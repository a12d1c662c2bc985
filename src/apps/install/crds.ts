/**
 * The CustomResourceDefinitions of Istio's security policies, made from the schemas that this program reads them by.
 * For clusters where Istio is not: where the definitions are, they are left as they are. What a schema cannot say is
 * said in CEL, as Istio does. `tools/gen-crds.ts` writes them down for kubectl.
 */
import { AuthorizationPolicySpec, PeerAuthenticationSpec } from '../../kube/resources/security.ts';
import type { Manifest } from './kustomize.ts';
import { acceptedColumn } from './policy-status-schema.ts';
import { type Schema, structural, type Validations } from './structural-schema.ts';

interface Definition {
  readonly kind: string;
  readonly plural: string;
  readonly shortName: string;
  readonly spec: Schema;
  readonly validations: Validations;
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
              spec: structural(spec, validations),
              status: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
            },
          },
        },
      })),
    },
  }));
