/** A small mesh to lint policies in, and findings in short. */
import { type AuthorizationPolicy, policyKey } from '../../../../src/model/policy.ts';
import type { Finding } from '../../../../src/policy/lint/finding.ts';
import type { LintInput } from '../../../../src/policy/lint/input.ts';
import { lint } from '../../../../src/policy/lint/lint.ts';
import { meshOf, type MeshSpec, pod, service } from '../../../support/mesh-builder.ts';

export const web = pod('shop/web', { ips: ['10.0.0.1'], labels: { app: 'web' } });
export const db = pod('shop/db', { ips: ['10.0.0.2'], labels: { app: 'db' } });
const legacy = pod('old/legacy', { ips: ['10.0.0.3'], protocol: 'tcp', labels: { app: 'legacy' } });
export const dbService = service('shop/db', '10.96.0.2', '80:5432', [{ address: '10.0.0.2' }]);

export const authorization = (
  name: string,
  extra: Partial<AuthorizationPolicy> = {},
  namespace = 'shop',
): AuthorizationPolicy => ({
  key: policyKey(namespace, name),
  namespace,
  name,
  action: 'allow',
  scope: { type: 'selector', labels: { app: 'db' } },
  rules: [{ from: [{ principals: ['cluster.local/ns/shop/sa/web'] }] }],
  ...extra,
});

const inputOf = (spec: MeshSpec, extra: Partial<LintInput> = {}): LintInput => ({
  view: meshOf({ workloads: [web, db, legacy], services: [dbService], ...spec }).view,
  complete: true,
  declaredPorts: () => [],
  networkPolicies: [],
  namespaces: new Set(),
  namespaceLabels: new Map(),
  controller: undefined,
  ...extra,
});

export const found = (spec: MeshSpec, extra: Partial<LintInput> = {}): readonly Finding[] =>
  lint(inputOf(spec, extra));

/** `CODE FIELD`. */
export const brief = (findings: readonly Finding[]): readonly string[] =>
  findings.map(({ code, field }) => (field === '' ? code : `${code} ${field}`));

export const briefOf = (...policies: readonly AuthorizationPolicy[]): readonly string[] =>
  brief(found({ policies }));
