import { describe, expect, it } from '@jest/globals';
import { parseManifests } from '../../../src/kube/parse-manifests.ts';
import { formatProblem } from '../../../src/kube/problem.ts';
import { dedent } from './dedent.ts';

const parse = (text: string, strict = true) =>
  parseManifests([{ path: 'm.yaml', text: dedent(text) }], { strict });

const problemsIn = (text: string, strict = true): readonly string[] =>
  parse(text, strict).errors.map(formatProblem);

const namesIn = (text: string, strict = true): readonly string[] =>
  parse(text, strict).objects.map(({ object }) => `${object.kind}/${object.metadata.name}`);

describe('manifests that are in order', () => {
  it('may hold several documents, lists, comments and empty documents', () => {
    const text = `
      # what a person wrote
      apiVersion: v1
      kind: Namespace
      metadata: {name: shop}
      ---
      ---
      apiVersion: v1
      kind: List
      items:
      - {apiVersion: v1, kind: ServiceAccount, metadata: {name: web, namespace: shop}}
      - {apiVersion: v1, kind: ServiceAccount, metadata: {name: api, namespace: shop}}
      ---
      # nothing
    `;
    expect(problemsIn(text)).toEqual([]);
    expect(namesIn(text)).toEqual(['Namespace/shop', 'ServiceAccount/web', 'ServiceAccount/api']);
  });

  it('may be JSON', () => {
    const text = JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } }, null, 2);
    expect(namesIn(text)).toEqual(['Namespace/shop']);
  });

  it('may use anchors and merge keys', () => {
    const text = `
      apiVersion: v1
      kind: List
      items:
      - {apiVersion: v1, kind: Namespace, metadata: &meta {name: shop, labels: &labels {team: a}}}
      - {apiVersion: v1, kind: ServiceAccount, metadata: {<<: *meta, name: web, labels: *labels}}
    `;
    expect(problemsIn(text)).toEqual([]);
    expect(parse(text).objects[1]?.object.metadata).toEqual({
      name: 'web',
      namespace: 'default',
      labels: { team: 'a' },
    });
  });

  it('put objects without a namespace into "default", and remember where they were written', () => {
    const text = `
      # first line
      apiVersion: v1
      kind: ServiceAccount
      metadata: {name: web}
    `;
    expect(parse(text).objects).toEqual([
      {
        object: { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'web', namespace: 'default' } },
        position: { file: 'm.yaml', line: 2, column: 1 },
      },
    ]);
  });

  it('keep what is read and drop what is not', () => {
    const text = `
      apiVersion: v1
      kind: Pod
      metadata: {name: web, creationTimestamp: null, generation: 3}
      spec:
        nodeName: node-a
        dnsPolicy: Default
        containers:
        - name: main
          image: nginx:1.27
          imagePullPolicy: Always
          command: [sleep, infinity]
          env: [{name: A, value: "1"}]
          resources: {limits: {cpu: 100m}}
          readinessProbe: {tcpSocket: {port: http}, periodSeconds: 1}
    `;
    expect(problemsIn(text)).toEqual([]);
    expect(parse(text).objects[0]?.object).toEqual({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'web', namespace: 'default' },
      spec: {
        nodeName: 'node-a',
        containers: [
          {
            name: 'main',
            image: 'nginx:1.27',
            command: ['sleep', 'infinity'],
            env: [{ name: 'A', value: '1' }],
            readinessProbe: { tcpSocket: { port: 'http' }, periodSeconds: 1 },
          },
        ],
      },
    });
  });
});

describe('a manifest with mistakes', () => {
  it('is told all of them, each with its place, its field, what was expected and what was probably meant', () => {
    const text = `
      apiVersion: v1
      kind: Pod
      metadata: {name: web, namespace: shop, labels: {app: 1}}
      spec:
        nodeNme: x
        containers:
        - name: Main
          command: [sleep, 5]
          readinessProbe:
            tcpSocket: {port: "80"}
            periodSecond: 1
      ---
      apiVersion: v1
      kind: Service
      metadata: {name: web}
      spec:
        type: ClusterIp
        ports:
        - port: 0
        - targetPort: 80
          protocol: tcp
        selector: web
    `;
    expect(problemsIn(text)).toEqual([
      'm.yaml:3:54: pod/shop/web: metadata.labels.app: expected a label value (letters, digits, "-", "_" and ".", at most 63), found 1 (put it in quotes: "1")',
      'm.yaml:5:3: pod/shop/web: spec.nodeNme: unknown field (did you mean nodeName?)',
      'm.yaml:7:11: pod/shop/web: spec.containers[0].name: expected a DNS label (lower-case letters, digits and dashes, at most 63), found "Main"',
      'm.yaml:8:22: pod/shop/web: spec.containers[0].command[1]: expected a string, found 5 (put it in quotes: "5")',
      'm.yaml:10:25: pod/shop/web: spec.containers[0].readinessProbe.tcpSocket.port: expected a port number from 1 to 65535 or the name of a port (lower-case letters, digits and dashes, at most 15), found "80" (leave out the quotes: 80)',
      'm.yaml:11:7: pod/shop/web: spec.containers[0].readinessProbe.periodSecond: unknown field (did you mean periodSeconds?)',
      'm.yaml:17:9: service/default/web: spec.type: expected one of ClusterIP, NodePort, LoadBalancer, ExternalName, found "ClusterIp" (did you mean ClusterIP?)',
      'm.yaml:19:11: service/default/web: spec.ports[0].port: expected a port number from 1 to 65535, found 0',
      'm.yaml:20:5: service/default/web: spec.ports[1]: port is missing: expected a port number from 1 to 65535',
      'm.yaml:21:15: service/default/web: spec.ports[1].protocol: expected one of TCP, UDP, SCTP, found "tcp" (did you mean TCP?)',
      'm.yaml:22:13: service/default/web: spec.selector: expected an object, found "web"',
    ]);
  });

  it('does not take the objects that are in order with it', () => {
    const text = `
      {apiVersion: v1, kind: Namespace, metadata: {name: good}}
      ---
      {apiVersion: v1, kind: Namespace, metadata: {nme: bad}}
    `;
    expect(namesIn(text)).toEqual(['Namespace/good']);
    expect(problemsIn(text)).toEqual([
      'm.yaml:3:45: metadata: name is missing: expected a DNS label (lower-case letters, digits and dashes, at most 63)',
      'm.yaml:3:46: metadata.nme: unknown field (did you mean name?)',
    ]);
  });

  it.each([
    ['text that is no object', 'hello', 'm.yaml:1:1: expected an object with apiVersion, kind and metadata'],
    ['a list', '- a', 'm.yaml:1:1: expected an object with apiVersion, kind and metadata'],
    ['no kind', 'apiVersion: v1', 'm.yaml:1:1: kind is missing: expected a Kubernetes object'],
    ['no apiVersion', 'kind: Pod', 'm.yaml:1:1: apiVersion is missing: expected a Kubernetes object'],
    [
      'a kind misspelt',
      '{apiVersion: v1, kind: Pods}',
      'm.yaml:1:24: kind: unknown kind "Pods" (did you mean Pod?)',
    ],
    [
      'a kind that is not read',
      '{apiVersion: apps/v1, kind: Deployment}',
      'm.yaml:1:29: kind: unknown kind "Deployment" (known kinds: Namespace, ServiceAccount, Node, Pod, Service, EndpointSlice, AuthorizationPolicy, PeerAuthentication, NamespaceAccess)',
    ],
    [
      'another version of a kind',
      '{apiVersion: security.istio.io/v2, kind: AuthorizationPolicy, metadata: {name: a}}',
      'm.yaml:1:14: authorizationpolicy/default/a: apiVersion: expected security.istio.io/v1 or security.istio.io/v1beta1 for a AuthorizationPolicy, found "security.istio.io/v2"',
    ],
    [
      'a kind named after what every object inherits',
      '{apiVersion: v1, kind: constructor}',
      'm.yaml:1:24: kind: unknown kind "constructor" (known kinds: Namespace, ServiceAccount, Node, Pod, Service, EndpointSlice, AuthorizationPolicy, PeerAuthentication, NamespaceAccess)',
    ],
  ])('is told of %s', (_, text, problem) => {
    expect(problemsIn(text)).toEqual([problem]);
  });

  it('is told of keys given twice, with the first place', () => {
    const text = `
      apiVersion: v1
      kind: Namespace
      metadata:
        name: shop
        name: shop2
    `;
    expect(problemsIn(text)).toEqual(['m.yaml:5:3: name: the key is given twice, first in line 4']);
  });

  it('is told of broken syntax, and its other documents are read', () => {
    const text = `
      apiVersion: v1
      kind: [Namespace
      ---
      {apiVersion: v1, kind: Namespace, metadata: {name: good}}
    `;
    expect(problemsIn(text)).toEqual([expect.stringMatching(/^m\.yaml:3:1: Flow sequence .*\]$/)]);
    expect(namesIn(text)).toEqual(['Namespace/good']);
  });

  it('points into lists at the item at fault', () => {
    const text = `
      apiVersion: v1
      kind: List
      items:
      - {apiVersion: v1, kind: Namespace, metadata: {name: ok}}
      - {apiVersion: v1, kind: Namespace, metadata: {name: not_ok}}
    `;
    expect(problemsIn(text)).toEqual([
      'm.yaml:5:54: namespace/not_ok: items[1].metadata.name: expected a DNS label (lower-case letters, digits and dashes, at most 63), found "not_ok"',
    ]);
    expect(namesIn(text)).toEqual(['Namespace/ok']);
  });

  it('is told where an anchor’s content is at fault', () => {
    const text = `
      apiVersion: v1
      kind: List
      items:
      - {apiVersion: v1, kind: Namespace, metadata: &bad {name: 5}}
      - {apiVersion: v1, kind: Namespace, metadata: *bad}
    `;
    expect(problemsIn(text)).toEqual([
      expect.stringMatching(/^m\.yaml:4:59: items\[0\]\.metadata\.name: expected a DNS label/),
      expect.stringMatching(/^m\.yaml:4:59: items\[1\]\.metadata\.name: expected a DNS label/),
    ]);
  });

  it('is told of a label key that is none, at the key', () => {
    const text = '{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {"a b": c}}}';
    expect(problemsIn(text)).toEqual([
      'm.yaml:1:64: namespace/a: metadata.labels["a b"]: the key is not a valid name',
    ]);
  });
});

describe('values that are nothing', () => {
  it('mean "not given" in Kubernetes’ own kinds', () => {
    const text = `
      apiVersion: v1
      kind: Service
      metadata: {name: web, labels: }
      spec: {clusterIP: null, ports: }
    `;
    expect(parse(text).objects[0]?.object).toEqual({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web', namespace: 'default' },
      spec: {},
    });
  });

  it('are errors where a policy would come to allow more', () => {
    const text = `
      apiVersion: security.istio.io/v1
      kind: AuthorizationPolicy
      metadata: {name: web, creationTimestamp: null}
      spec:
        selector: {matchLabels: {app: }}
        rules:
        - from:
    `;
    expect(problemsIn(text)).toEqual([
      expect.stringMatching(
        /^m\.yaml:5:33: authorizationpolicy\/default\/web: spec\.selector\.matchLabels\.app: expected a label value .* found nothing$/,
      ),
      'm.yaml:7:10: authorizationpolicy/default/web: spec.rules[0].from: expected a list, found nothing',
    ]);
  });

  it('are errors where a value is needed', () => {
    expect(problemsIn('{apiVersion: v1, kind: Namespace, metadata: {name: }}')).toEqual([
      expect.stringMatching(/^m\.yaml:1:45: metadata: name is missing/),
    ]);
    expect(
      problemsIn(
        '{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: a, args: [null]}]}}',
      ),
    ).toEqual([expect.stringMatching(/spec\.containers\[0\]\.args\[0\]: expected a string, found nothing$/)]);
  });
});

describe('an object from an API server', () => {
  const text = `
    apiVersion: v1
    kind: Pod
    metadata: {name: web, fieldOfTomorrow: 1}
    spec:
      containers: [{name: a, otherNewField: {a: b}}]
      anotherOne: true
    status: {podIP: 10.0.0.1, newStatus: x}
  `;

  it('may have fields this version does not know, which are dropped', () => {
    expect(problemsIn(text, false)).toEqual([]);
    expect(parse(text, false).objects[0]?.object).toEqual({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'web', namespace: 'default' },
      spec: { containers: [{ name: 'a' }] },
      status: { podIP: '10.0.0.1' },
    });
    expect(problemsIn(text)).toHaveLength(4);
  });

  it('is still refused for values of the wrong type', () => {
    expect(
      problemsIn('{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: 1}}', false),
    ).toEqual(['m.yaml:1:69: pod/default/a: spec.containers: expected a list, found 1']);
  });
});

const namespace = (name: string): string => `{apiVersion: v1, kind: Namespace, metadata: {name: ${name}}}`;

describe('objects of one name', () => {
  it('are told with both places, and the first is kept', () => {
    const { objects, errors } = parseManifests(
      [
        { path: 'a.yaml', text: `# a\n${namespace('shop')}` },
        { path: 'b.yaml', text: `${namespace('other')}\n---\n${namespace('shop')}` },
      ],
      { strict: true },
    );
    expect(errors.map(formatProblem)).toEqual([
      'b.yaml:3:1: namespace/shop: metadata.name: there is a Namespace of this name already in a.yaml:2',
    ]);
    expect(objects.map(({ position }) => position?.file)).toEqual(['a.yaml', 'b.yaml']);
  });

  it('may be of different kinds or in different namespaces', () => {
    const text = `
      {apiVersion: v1, kind: Namespace, metadata: {name: web}}
      ---
      {apiVersion: v1, kind: ServiceAccount, metadata: {name: web}}
      ---
      {apiVersion: v1, kind: ServiceAccount, metadata: {name: web, namespace: shop}}
    `;
    expect(problemsIn(text)).toEqual([]);
    expect(namesIn(text)).toHaveLength(3);
  });
});
