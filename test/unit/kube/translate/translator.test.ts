import { describe, expect, it } from '@jest/globals';
import { parseIp } from '../../../../src/base/ip.ts';
import { formatProblem } from '../../../../src/kube/problem.ts';
import { Translator } from '../../../../src/kube/translate/translator.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import { MeshStore } from '../../../../src/model/store.ts';
import { meshConfig } from '../../../support/mesh-builder.ts';
import { objectsIn } from '../support.ts';

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

const objects = (...texts: readonly string[]) => objectsIn(texts.join('\n---\n'));

describe('the translator', () => {
  it('enrols the pods of a labelled namespace, wherever in the manifests it stands', () => {
    const translator = new Translator(meshConfig);
    const { workloads } = translator.translate(
      objects(pod('web'), namespace('istio.io/dataplane-mode: ambient')),
    ).state;
    expect(workloads.map(({ protocol }) => protocol)).toEqual(['hbone']);
  });

  it('does not enrol pods of a namespace that it does not know', () => {
    const { workloads } = new Translator(meshConfig).translate(objects(pod('web'))).state;
    expect(workloads.map(({ protocol }) => protocol)).toEqual(['tcp']);
  });

  it('takes a namespace’s change of label over to pods that did not change', () => {
    const translator = new Translator(meshConfig);
    const pods = objects(pod('web'));
    const protocolWith = (labels: string) =>
      translator.translate([...pods, ...objects(namespace(labels))]).state.workloads[0]?.protocol;
    expect(['', 'istio.io/dataplane-mode: ambient', ''].map(protocolWith)).toEqual(['tcp', 'hbone', 'tcp']);
  });

  it('joins slices to the Service of their namespace', () => {
    const { services } = new Translator(meshConfig).translate(objects(service, slice('shop'))).state;
    expect(services[0]?.endpoints.map(({ address }) => address)).toEqual(['10.0.0.1']);
    const elsewhere = new Translator(meshConfig).translate(objects(service, slice('other'))).state;
    expect(elsewhere.services[0]?.endpoints).toEqual([]);
  });

  it('notices new slices of a Service that did not change', () => {
    const translator = new Translator(meshConfig);
    const unchanged = objects(service);
    const endpoints = (...slices: readonly string[]) =>
      translator.translate([...unchanged, ...slices.flatMap((text) => objects(text))]).state.services[0]
        ?.endpoints.length;
    expect([endpoints(), endpoints(slice('shop')), endpoints()]).toEqual([0, 1, 0]);
  });

  it('makes the same objects of the same objects, so that nothing is compared twice', () => {
    const translator = new Translator(meshConfig);
    const given = objects(pod('web'), service, slice('shop'));
    const first = translator.translate(given).state;
    const second = translator.translate(given).state;
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
    const { state, problems } = new Translator(meshConfig).translate(given);
    expect(state.workloads.map(({ name }) => name)).toEqual(['web']);
    expect(state.services.map(({ name }) => name)).toEqual(['web']);
    expect(problems.map(({ object }) => `${object?.kind}/${object?.name}`)).toEqual([
      'Pod/bad',
      'Service/faulty',
      'AuthorizationPolicy/bad',
    ]);
  });

  it('refuses a second pod with a UID that is taken', () => {
    const { state, problems } = new Translator(meshConfig).translate(
      objects(pod('a', 'uid: u'), pod('b', 'uid: u')),
    );
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
    const store = new MeshStore({ log: silentLogger }, meshConfig);
    store.replace(new Translator(meshConfig).translate(given).state);
    expect(store.view.workloadByIp(parseIp('10.0.0.1'))?.name).toBe('young');
  });
});

const inForce = (translator: Translator, ...texts: readonly string[]) =>
  translator.translate(objects(...texts)).state.policies;

describe('a policy that is not valid', () => {
  const good = policy('p', 'action: DENY, rules: [{from: [{source: {namespaces: [bots]}}]}]');
  const bad = policy('p', 'action: ALLOW, rules: [{to: [{operation: {methods: [GET]}}]}]');
  const worse = policy('p', 'targetRefs: [{kind: Gateway, name: w}]');

  it('leaves its last good version in force, however often it changes', () => {
    const translator = new Translator(meshConfig);
    const [accepted] = inForce(translator, good);
    expect(inForce(translator, bad)).toEqual([accepted]);
    expect(inForce(translator, worse)).toEqual([accepted]);
    expect(inForce(translator, bad)).toEqual([accepted]);
  });

  it('is in force in its strict reading when it never was good', () => {
    const translator = new Translator(meshConfig);
    expect(inForce(translator, bad)).toEqual([expect.objectContaining({ action: 'allow', rules: [] })]);
    const deny = policy('p', 'action: DENY, rules: [{to: [{operation: {ports: ["80"], methods: [GET]}}]}]');
    expect(inForce(translator, deny)).toEqual([
      expect.objectContaining({ action: 'deny', rules: [{ ports: [80] }] }),
    ]);
  });

  it('is forgotten when it is deleted', () => {
    const translator = new Translator(meshConfig);
    inForce(translator, good);
    expect(inForce(translator)).toEqual([]);
    expect(inForce(translator, worse)).toEqual([]);
  });

  it('is replaced by the next good version', () => {
    const translator = new Translator(meshConfig);
    inForce(translator, good);
    inForce(translator, bad);
    const next = policy('p', 'action: DENY, rules: [{}]');
    expect(inForce(translator, next)).toEqual([expect.objectContaining({ rules: [{}] })]);
    expect(inForce(translator, bad)).toEqual([expect.objectContaining({ rules: [{}] })]);
  });
});
