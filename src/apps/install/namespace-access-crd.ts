/** The CustomResourceDefinition of NamespaceAccess: what the API server accepts is what the node programs understand. */
import { AccessSpec } from '../../kube/resources/namespace-access.ts';
import type { Manifest } from './kustomize.ts';
import { acceptedColumn, policyStatusSchema } from './policy-status-schema.ts';
import { type Schema, structural, type Validations } from './structural-schema.ts';

const validations: Validations = {
  'egress.rules[].to[]': [
    {
      rule: '(has(self.cidr) ? 1 : 0) + (has(self.service) ? 1 : 0) + (has(self.namespace) ? 1 : 0) == 1',
      message: 'expected one of cidr, service and namespace',
    },
    { rule: '!has(self.except) || has(self.cidr)', message: 'only a cidr has exceptions' },
  ],
  'egress.rules[].ports[]': [
    {
      rule: '!has(self.endPort) || (has(self.port) && self.port <= self.endPort)',
      message: 'endPort needs a port, and must not be less',
    },
  ],
};

const column = (name: string, jsonPath: string) => ({ name, type: 'string', jsonPath });

export const namespaceAccessCrd = (): Manifest => ({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: {
    name: 'namespaceaccesses.mesh-ebpf.io',
    labels: { 'app.kubernetes.io/part-of': 'mesh-ebpf' },
  },
  spec: {
    group: 'mesh-ebpf.io',
    scope: 'Namespaced',
    names: {
      kind: 'NamespaceAccess',
      listKind: 'NamespaceAccessList',
      plural: 'namespaceaccesses',
      singular: 'namespaceaccess',
    },
    versions: [
      {
        name: 'v1alpha1',
        served: true,
        storage: true,
        subresources: { status: {} },
        additionalPrinterColumns: [
          column('Inbound', '.spec.inbound.default'),
          column('Egress', '.spec.egress.default'),
          acceptedColumn,
          { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
        ],
        schema: {
          openAPIV3Schema: {
            type: 'object',
            description:
              'What Istio’s policies cannot say: the default for inbound connections of a namespace, where its pods may go outside the mesh, and all of their UDP. See docs/egress.md.',
            required: ['spec'],
            properties: {
              apiVersion: { type: 'string' },
              kind: { type: 'string' },
              metadata: { type: 'object' },
              spec: structural(AccessSpec as unknown as Schema, validations),
              status: policyStatusSchema,
            },
          },
        },
      },
    ],
  },
});
