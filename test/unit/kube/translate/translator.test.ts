import { describe, expect, it } from '@jest/globals';
import { parseIp } from '../../../../src/base/ip.ts';
import { formatProblem } from '../../../../src/kube/problem.ts';
import * as fc from 'fast-check';
import type { SourcedObject } from '../../../../src/kube/objects.ts';
import { Translator } from '../../../../src/kube/translate/translator.ts';
import { meshConfig } from '../../../support/mesh-builder.ts';
import { FollowedMesh, objectsIn } from '../support.ts';

const namespace = (labels = ''): string =>
  `{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {${labels}}}}`;

const pod = (name: string, metadata = '', ip = '10.0.0.1'): string =>
  `{apiVersion: v1, kind: Pod, metadata: {name: ${name}, namespace: shop, ${metadata}}, spec: {nodeName: n, containers: [{name: c}]}, status: {podIP: "${ip}"}}`;

const policy = (name: string, spec: string): string =>
  `{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: ${name}, namespace: shop}, spec: {${spec}}}`;

const service =
  '{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}}';

const slice = (namespaceName: string): string =>
  `{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-1, namespace: ${namespaceName}, labels: {kubernetes.io/service-name: web}}, addressType: IPv4, endpoints: [{addresses: [10.0.0.1]}], ports: [{port: 8080}]}`;

const node = (labels: string): string =>
  `{apiVersion: v1, kind: Node, metadata: {name: node-a, labels: {${labels}}}}`;

const objects = (...texts: readonly string[]) => objectsIn(texts.join('\n---\n'));

describe('the translator', () => {
  it('enrols the pods of a labelled namespace, wherever in the manifests it stands', () => {
    const translator = new FollowedMesh();
    const { workloads } = translator.become(
      objects(pod('web'), namespace('istio.io/dataplane-mode: ambient')),
    ).state;
    expect(workloads.map(({ protocol }) => protocol)).toEqual(['hbone']);
  });

  it('does not enrol pods of a namespace that it does not know', () => {
    const { workloads } = new FollowedMesh().become(objects(pod('web'))).state;
    expect(workloads.map(({ protocol }) => protocol)).toEqual(['tcp']);
  });

  it('takes a namespace’s change of label over to pods that did not change', () => {
    const translator = new FollowedMesh();
    const pods = objects(pod('web'));
    const protocolWith = (labels: string) =>
      translator.become([...pods, ...objects(namespace(labels))]).state.workloads[0]?.protocol;
    expect(['', 'istio.io/dataplane-mode: ambient', ''].map(protocolWith)).toEqual(['tcp', 'hbone', 'tcp']);
  });

  it('joins slices to the Service of their namespace', () => {
    const { services } = new FollowedMesh().become(objects(service, slice('shop'))).state;
    expect(services[0]?.endpoints.map(({ address }) => address)).toEqual(['10.0.0.1']);
    const elsewhere = new FollowedMesh().become(objects(service, slice('other'))).state;
    expect(elsewhere.services[0]?.endpoints).toEqual([]);
  });

  it('notices new slices of a Service that did not change', () => {
    const translator = new FollowedMesh();
    const unchanged = objects(service);
    const endpoints = (...slices: readonly string[]) =>
      translator.become([...unchanged, ...slices.flatMap((text) => objects(text))]).state.services[0]
        ?.endpoints.length;
    expect([endpoints(), endpoints(slice('shop')), endpoints()]).toEqual([0, 1, 0]);
  });

  it('knows of a node its zone, as long as it has one', () => {
    const mesh = new FollowedMesh();
    const zones = (given: ReturnType<typeof objects>) => {
      mesh.become(given);
      return [...mesh.store.view.nodes.values()];
    };
    expect(zones(objects(node('topology.kubernetes.io/zone: zone-1')))).toEqual([
      { name: 'node-a', zone: 'zone-1' },
    ]);
    expect(zones(objects(node('')))).toEqual([{ name: 'node-a', zone: undefined }]);
    expect(zones([])).toEqual([]);
  });

  it('makes the same objects of the same objects, so that nothing is compared twice', () => {
    const translator = new FollowedMesh();
    const given = objects(pod('web'), service, slice('shop'));
    const first = translator.become(given).state;
    const second = translator.become(given).state;
    expect(second.workloads[0]).toBe(first.workloads[0]);
    expect(second.services[0]).toBe(first.services[0]);
  });

  it('lets one faulty object hurt no other', () => {
    const faultyService = service.replace('10.96.0.1', '10.96.0.x').replace('name: web', 'name: faulty');
    const given = objects(
      pod('web'),
      pod('bad', '', '10.0.0.x'),
      faultyService,
      service,
      policy('bad', 'action: DENY'),
    );
    const { state, problems } = new FollowedMesh().become(given);
    expect(state.workloads.map(({ name }) => name)).toEqual(['web']);
    expect(state.services.map(({ name }) => name)).toEqual(['web']);
    expect(problems.map(({ object }) => `${object?.kind}/${object?.name}`)).toEqual([
      'Pod/bad',
      'Service/faulty',
      'AuthorizationPolicy/bad',
    ]);
  });

  it('refuses a second pod with a UID that is taken', () => {
    const { state, problems } = new FollowedMesh().become(objects(pod('a', 'uid: u'), pod('b', 'uid: u')));
    expect(state.workloads.map(({ name }) => name)).toEqual(['a']);
    expect(problems.map(formatProblem)).toEqual([
      'test.yaml:3:1: pod/shop/b: metadata.uid: pod shop/a has this UID already',
    ]);
  });

  it('gives an address used again to the pod that was made last', () => {
    const given = objects(
      pod('young', 'uid: y, creationTimestamp: "2026-01-02T00:00:00Z"'),
      pod('old', 'uid: o, creationTimestamp: "2026-01-01T00:00:00Z"'),
    );
    const mesh = new FollowedMesh();
    mesh.become(given);
    expect(mesh.store.view.workloadByIp(parseIp('10.0.0.1'))?.name).toBe('young');
  });
});

const inForce = (translator: FollowedMesh, ...texts: readonly string[]) =>
  translator.become(objects(...texts)).state.policies;

/** Objects that depend on each other in every way there is; each is there or not. */
const pieces: readonly string[] = [
  namespace('istio.io/dataplane-mode: ambient'),
  namespace('istio.io/dataplane-mode: none'),
  pod('a', 'uid: u, creationTimestamp: "2026-01-02T00:00:00Z"'),
  pod('a', 'uid: v', '10.0.0.2'),
  pod('b', 'uid: u, creationTimestamp: "2026-01-01T00:00:00Z"'),
  pod('c', '', '10.0.0.x'),
  service,
  service.replace('10.96.0.1', '10.96.0.x'),
  slice('shop'),
  slice('shop').replace('service-name: web', 'service-name: other'),
  slice('shop').replace('web-1', 'web-2').replace('10.0.0.1', '10.0.0.3'),
  policy('p', 'action: DENY, rules: [{}]'),
];

describe('a translator that follows changes', () => {
  it('ends in the state of one that reads everything anew, whatever came before', () => {
    // One version of an object at a time, as the API server holds it.
    const versions = fc.uniqueArray(fc.constantFrom(...pieces.map((text) => objects(text)[0])), {
      selector: (sourced) => `${sourced?.object.kind}/${sourced?.object.metadata.name}`,
    });
    fc.assert(
      fc.property(fc.array(versions, { maxLength: 6 }), (history) => {
        const followed = new FollowedMesh();
        for (const state of history) {
          const given = state.filter((sourced) => sourced !== undefined);
          const { state: reached, problems } = followed.become(given);
          const fresh = new FollowedMesh().become(given);
          expect(sorted(reached.workloads)).toEqual(sorted(fresh.state.workloads));
          expect(sorted(reached.services)).toEqual(sorted(fresh.state.services));
          expect(sorted(reached.policies)).toEqual(sorted(fresh.state.policies));
          expect(problems.map(formatProblem).toSorted()).toEqual(
            fresh.problems.map(formatProblem).toSorted(),
          );
        }
      }),
    );
  });

  it('touches nothing that a change does not concern', () => {
    const mesh = new FollowedMesh();
    const others = objects(service, slice('shop'), pod('b', 'uid: b', '10.0.0.2'));
    mesh.become([...others, ...objects(pod('a'))]);
    const touched: unknown[] = [];
    mesh.store.subscribe((_, diff) =>
      touched.push(...[...diff.workloads, ...diff.services].map(({ key }) => key)),
    );
    mesh.become([...others, ...objects(pod('a', '', '10.0.0.9'))]);
    expect(touched).toEqual(['shop/a']);
  });
});

const sorted = <T extends { readonly name: string }>(items: readonly T[]): T[] =>
  items.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));

describe('a policy of which a part needs a waypoint', () => {
  const l4 = policy('p', 'rules: [{from: [{source: {namespaces: [shop]}}]}]');
  const l7 = policy(
    'p',
    'rules: [{from: [{source: {namespaces: [shop]}}], to: [{operation: {methods: [GET]}}]}]',
  );

  it('is in force at once, in its strict reading: the wider version before it is not', () => {
    const translator = new FollowedMesh();
    inForce(translator, l4);
    expect(inForce(translator, l7)).toEqual([expect.objectContaining({ action: 'allow', rules: [] })]);
  });
});

describe('a PeerAuthentication', () => {
  const mtls = (spec: string) =>
    objects(
      `{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: p, namespace: shop}, spec: {${spec}}}`,
    );
  const modes = (mesh: FollowedMesh, given: readonly SourcedObject[]) =>
    mesh.become(given).state.peerAuthentications.map(({ mode }) => mode);

  it('that cannot be read leaves its last good version in force; without one it is strict', () => {
    const mesh = new FollowedMesh();
    expect(modes(mesh, mtls('mtls: {mode: PERMISSIVE}'))).toEqual(['permissive']);
    expect(modes(mesh, mtls('portLevelMtls: {80: {mode: STRICT}}'))).toEqual(['permissive']);
    expect(modes(mesh, [])).toEqual([]);
    expect(modes(mesh, mtls('portLevelMtls: {80: {mode: PERMISSIVE}}'))).toEqual(['strict']);
  });
});

describe('the root namespace', () => {
  it('is the one that the mesh is set up with: policies of a former one are their namespace’s', () => {
    const [deny] = objects(
      policy('deny', 'action: DENY, rules: [{}]').replace('namespace: shop', 'namespace: old-root'),
    );
    const scopeIn = (rootNamespace: string) => {
      const change = new Translator({ ...meshConfig, rootNamespace }).apply({
        set: deny === undefined ? [] : [deny],
        deleted: [],
      });
      return [...change.policies.values()].map((each) => each?.scope);
    };
    expect(scopeIn('old-root')).toEqual([{ type: 'mesh' }]);
    expect(scopeIn('new-root')).toEqual([{ type: 'namespace' }]);
  });
});

describe('a policy that is not valid', () => {
  const good = policy('p', 'action: DENY, rules: [{from: [{source: {namespaces: [bots]}}]}]');
  const bad = policy('p', 'action: ALLOW, rules: [{to: [{operation: {ports: ["http"]}}]}]');
  const worse = policy('p', 'targetRefs: [{kind: Pod, name: w}]');

  it('leaves its last good version in force, however often it changes', () => {
    const translator = new FollowedMesh();
    const [accepted] = inForce(translator, good);
    expect(inForce(translator, bad)).toEqual([accepted]);
    expect(inForce(translator, worse)).toEqual([accepted]);
    expect(inForce(translator, bad)).toEqual([accepted]);
  });

  it('is in force in its strict reading when it never was good', () => {
    const translator = new FollowedMesh();
    expect(inForce(translator, bad)).toEqual([expect.objectContaining({ action: 'allow', rules: [] })]);
    const deny = policy(
      'p',
      'action: DENY, rules: [{from: [{source: {namespaces: [a], ipBlocks: [010.0.0.1]}}]}]',
    );
    expect(inForce(translator, deny)).toEqual([
      expect.objectContaining({ action: 'deny', rules: [{ from: [{ namespaces: ['a'] }] }] }),
    ]);
  });

  it('is forgotten when it is deleted', () => {
    const translator = new FollowedMesh();
    inForce(translator, good);
    expect(inForce(translator)).toEqual([]);
    expect(inForce(translator, bad)).toEqual([expect.objectContaining({ action: 'allow', rules: [] })]);
  });

  it('is replaced by the next good version', () => {
    const translator = new FollowedMesh();
    inForce(translator, good);
    inForce(translator, bad);
    const next = policy('p', 'action: DENY, rules: [{}]');
    expect(inForce(translator, next)).toEqual([expect.objectContaining({ rules: [{}] })]);
    expect(inForce(translator, bad)).toEqual([expect.objectContaining({ rules: [{}] })]);
  });
});
