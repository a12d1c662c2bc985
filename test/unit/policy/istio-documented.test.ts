/**
 * What Istio documents about its security policies, example by example: whom each admits and whom it refuses at L4. Where
 * an example asks for HTTP, which only a waypoint can judge, the row says the documented stricter rule that is in force.
 * Sources, as of 1.27: istio.io/latest/docs/reference/config/security/{authorization-policy,conditions,
 * peer_authentication}; concepts/security; tasks/security/authorization/*; ambient/usage/l4-policy, ambient/getting-started.
 */
import { describe, expect, it } from '@jest/globals';
import { parseManifest } from '../../../src/kube/parse-manifests.ts';
import { Translator } from '../../../src/kube/translate/translator.ts';
import type { Workload } from '../../../src/model/mesh.ts';
import type { MeshView } from '../../../src/model/view.ts';
import { createAuthorizer } from '../../../src/policy/authorize.ts';
import { parseSpiffeId } from '../../../src/model/identity.ts';
import type { Example } from './istio-documented/example.ts';
import { guides } from './istio-documented/guides.ts';
import { references } from './istio-documented/reference.ts';
import { at, meshConfig, meshOf, pod, service } from '../../support/mesh-builder.ts';

/** The pods of the examples; each has one address, and the labels that its documentation gives it. */
const pods: Readonly<Record<string, Workload>> = Object.fromEntries(
  (
    [
      ['foo/httpbin', { app: 'httpbin', version: 'v1' }],
      ['foo/tcp-echo', { app: 'tcp-echo' }],
      ['foo/finance', { app: 'finance' }],
      ['bar/httpbin', { app: 'httpbin' }],
      ['default/productpage', { app: 'productpage' }],
      ['default/mongodb', { app: 'mongodb' }],
      ['default/products', { app: 'products' }],
      ['ambient-demo/echo', { app: 'echo' }],
      ['istio-system/gateway', { app: 'istio-ingressgateway' }],
    ] as const
  ).map(([name, labels], i) => [name, pod(name, { ips: [`10.0.1.${i + 1}`], labels })]),
);

const kinds: Readonly<Record<string, string>> = { AP: 'AuthorizationPolicy', PA: 'PeerAuthentication' };

function manifest(text: string): string {
  const [, kind = '', namespace, name, annotations = '', spec] =
    /^(AP|PA) ([^/]+)\/([^ {]+)( dry-run)?: (.*)$/s.exec(text) ?? [];
  const metadata = `{ namespace: ${namespace}, name: ${name}${annotations === '' ? '' : ', annotations: { istio.io/dry-run: "true" }'} }`;
  return `{ apiVersion: security.istio.io/v1, kind: ${kinds[kind]}, metadata: ${metadata}, spec: ${spec} }`;
}

function worldOf({ objects }: Example): { readonly view: MeshView; readonly said: string } {
  const text = objects.map(manifest).join('\n---\n');
  const { objects: read, errors } = parseManifest({ path: 'example.yaml', text }, { strict: true });
  expect(errors).toEqual([]);
  const translator = new Translator(meshConfig);
  const change = translator.apply({ set: read, deleted: [] });
  const store = meshOf({
    workloads: Object.values(pods),
    services: [service('default/productpage', '10.96.0.1', '9080:9080', [{ address: '10.0.1.5' }])],
  });
  store.apply(change);
  const said = translator.problems.map(({ field, message }) => `${field}: ${message}`).join('\n');
  return { view: store.view, said };
}

function isAdmitted(view: MeshView, to: string, client: string): boolean {
  const [, who = '', ip = '10.0.0.9', port = '80'] = /^([^@:]+)(?:@([^:]+))?(?::(\d+))?$/.exec(client) ?? [];
  const [namespace, account] = who.split('/');
  const destination = pods[to];
  if (destination === undefined) throw new Error(`no pod ${to}`);
  return createAuthorizer()(view, {
    identity:
      who === 'plaintext' ? undefined : parseSpiffeId(`spiffe://cluster.local/ns/${namespace}/sa/${account}`),
    source: at(`${ip}:40000`),
    destination,
    target: at(`${destination.addresses[0]}:${port}`),
  }).allowed;
}

for (const [where, rows] of Object.entries({ ...references, ...guides })) {
  describe(where, () => {
    it.each(rows.map((row) => [row.what, row] as const))('%s', (_what, row) => {
      const { view, said } = worldOf(row);
      const judged = (clients: readonly string[]) =>
        clients.map((client) => [client, isAdmitted(view, row.to ?? 'foo/httpbin', client)]);
      expect(judged(row.allowed)).toEqual(row.allowed.map((client) => [client, true]));
      expect(judged(row.denied)).toEqual(row.denied.map((client) => [client, false]));
      if (row.said === undefined) expect(said).toBe('');
      else expect(said).toMatch(row.said);
    });
  });
}
