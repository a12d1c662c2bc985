/** The status that the controller writes on each policy, as the definitions of their kinds have it. */
import { acceptedType } from '../../controller/policy-status/conditions.ts';

const text = { type: 'string' } as const;

/** Kubernetes' conditions, which are Istio's, too. */
export const policyStatusSchema = {
  type: 'object',
  properties: {
    conditions: {
      type: 'array',
      items: {
        type: 'object',
        required: ['type', 'status'],
        properties: {
          type: text,
          status: text,
          reason: text,
          message: text,
          lastTransitionTime: { type: 'string', format: 'date-time' },
          observedGeneration: { type: 'integer', format: 'int64' },
        },
      },
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['type'],
    },
  },
} as const;

export const acceptedColumn = {
  name: 'Accepted',
  type: 'string',
  jsonPath: `.status.conditions[?(@.type=="${acceptedType}")].status`,
} as const;
