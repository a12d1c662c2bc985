/**
 * What Istio documents about its security policies, example by example: whom each admits and whom it refuses at L4. Where
 * an example asks for HTTP, which only a waypoint can judge, the row says the documented stricter rule that is in force.
 * Checked against the pages named above each group, below istio.io/latest/docs, as published in 2026; the examples are
 * written as there. The client is called curl in newer editions and sleep in older ones.
 */
import { describe, expect, it } from '@jest/globals';
import { parseManifest } from '../../../src/kube/parse-manifests.ts';
import { Translator } from '../../../src/kube/translate/translator.ts';
import type { Workload } from '../../../src/model/mesh.ts';
import type { MeshView } from '../../../src/model/view.ts';
import { createAuthorizer } from '../../../src/policy/authorize.ts';
import { parseSpiffeId } from '../../../src/model/identity.ts';
import type { Example } from './istio-documented/example.ts';
import { concepts } from './istio-documented/concepts.ts';
import { guides } from './istio-documented/guides.ts';
import { peerAuthentications } from './istio-documented/peer-authentication.ts';
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
      ['bar/other', { app: 'other', version: 'v1' }],
      ['foo/reviews', { app: 'reviews' }],
      ['foo/example-app', { app: 'example-app' }],
      ['default/productpage', { app: 'productpage' }],
      ['default/mongodb', { app: 'mongodb' }],
      ['default/products', { app: 'products' }],
      ['default/httpbin', { app: 'httpbin' }],
      ['ambient-demo/httpbin', { app: 'httpbin' }],
      ['istio-system/gateway', { app: 'istio-ingressgateway', istio: 'ingressgateway' }],
    ] as const
  ).map(([name, labels], i) => [name, pod(name, { ips: [`10.0.1.${i + 1}`], labels })]),
);

const kinds: Readonly<Record<string, string>> = { AP: 'AuthorizationPolicy', PA: 'PeerAuthentication' };

function manifest(text: string): string {
  const [, kind = '', namespace, name, dryRun = '', created, spec] =
    /^(AP|PA) ([^/]+)\/([^ {]+)( dry-run)?(?: of ([\d-]+))?: (.*)$/s.exec(text) ?? [];
  const annotations = dryRun === '' ? '' : ', annotations: { istio.io/dry-run: "true" }';
  const time = created === undefined ? '' : `, creationTimestamp: "${created}T00:00:00Z"`;
  const metadata = `{ namespace: ${namespace}, name: ${name}${annotations}${time} }`;
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
    services: [
      service('default/productpage', '10.96.0.1', '9080:9080', [
        { address: String(pods['default/productpage']?.addresses[0]) },
      ]),
    ],
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

for (const [where, rows] of Object.entries({
  ...references,
  ...peerAuthentications,
  ...concepts,
  ...guides,
})) {
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
