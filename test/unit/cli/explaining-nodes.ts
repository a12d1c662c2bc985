/** Nodes that answer `/v1/explain` by a mesh of their own, as real ones do. */
import { asMeshError } from '../../../src/base/errors.ts';
import { createCompiler } from '../../../src/policy/authorize.ts';
import type { ConnectionItem } from '../../../src/telemetry/admin-api.ts';
import { parseExplanationQuery } from '../../../src/telemetry/admin-query.ts';
import { createExplainer, type ExplainerDeps } from '../../../src/ztunnel/explanation/explanation.ts';
import { type AuthorizationPolicy, policyKey } from '../../../src/model/policy.ts';
import { meshOf, type MeshSpec, pod, service } from '../../support/mesh-builder.ts';
import { fullNode } from './fake-nodes.ts';
import { document, type FakeNode } from './harness.ts';

export const web = pod('shop/web-1', { ips: ['10.1.0.1'], serviceAccount: 'web', labels: { app: 'web' } });
export const db = pod('shop/db-0', {
  ips: ['10.1.1.2'],
  node: 'node-b',
  serviceAccount: 'db',
  labels: { app: 'db' },
});

export const shop: MeshSpec = {
  workloads: [web, db],
  services: [service('shop/db', '10.96.0.1', '5432:5433', [{ address: '10.1.1.2' }])],
};

export const onlyCart: AuthorizationPolicy = {
  key: policyKey('shop', 'db-callers'),
  namespace: 'shop',
  name: 'db-callers',
  action: 'allow',
  scope: { type: 'selector', labels: { app: 'db' } },
  rules: [{ from: [{ principals: ['cluster.local/ns/shop/sa/cart'] }] }],
};

export interface ExplainingOptions {
  readonly mesh?: MeshSpec;
  readonly deps?: Partial<ExplainerDeps>;
  /** What it remembers of connections; filtered by id as a node does. */
  readonly recent?: readonly ConnectionItem[];
}

const queryOf = (target: string): URLSearchParams => new URL(target, 'http://admin').searchParams;

export function explainingNode(
  node: string,
  { mesh = shop, deps = {}, recent = [] }: ExplainingOptions = {},
): FakeNode {
  const explain = createExplainer({
    policySetFor: createCompiler(),
    enrolment: () => undefined,
    certificate: () => undefined,
    ...deps,
  });
  const { view } = meshOf(mesh);
  return fullNode(node, {
    '/v1/explain': ({ target }: { readonly target: string }) => {
      try {
        return { node, ...document('Explanation', explain(view, parseExplanationQuery(queryOf(target)))) };
      } catch (thrown) {
        const { code, message, hint } = asMeshError(thrown);
        return { node, ...document('Error', { code, message, hint: hint ?? null }) };
      }
    },
    '/v1/connections': ({ target }: { readonly target: string }) => {
      const id = queryOf(target).get('id') ?? '';
      const named = recent.filter((item) => item.id.startsWith(id) || item.traceId?.startsWith(id) === true);
      return { node, ...document('ConnectionList', { live: [], recent: named, last: 9, lost: 0 }) };
    },
  });
}
