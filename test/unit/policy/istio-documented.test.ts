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

interface Example {
  /** What it shows, in a few words. */
  readonly what: string;
  /** `KIND NAMESPACE/NAME: SPEC`, one object each. */
  readonly objects: readonly string[];
  readonly to?: string;
  /** `NAMESPACE/SERVICE-ACCOUNT` of the client, or `plaintext`; perhaps `@ADDRESS` and `:PORT` dialled (80). */
  readonly allowed: readonly string[];
  readonly denied: readonly string[];
  /** What the status of the object says: the rule that made it stricter, or why it is not in force as written. */
  readonly said?: RegExp;
}

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

const curl = '"cluster.local/ns/default/sa/curl"';

const examples: Readonly<Record<string, readonly Example[]>> = {
  'the reference of AuthorizationPolicy': [
    {
      what: 'a service account or a namespace may, for methods, paths and a claim: an ALLOW rule with HTTP is left out',
      objects: [
        `AP foo/httpbin: { action: ALLOW, rules: [{ from: [{ source: { principals: [${curl}] } }, { source: { namespaces: [test] } }], to: [{ operation: { methods: [GET], paths: ["/info*"] } }, { operation: { methods: [POST], paths: [/data] } }], when: [{ key: "request.auth.claims[iss]", values: ["https://accounts.google.com"] }] }] }`,
      ],
      allowed: [],
      denied: ['default/curl', 'test/any', 'plaintext'],
      said: /methods: .*waypoint/,
    },
    {
      what: 'POST is denied to a namespace: a DENY rule loses its HTTP conditions, and denies more',
      objects: [
        'AP foo/httpbin: { action: DENY, rules: [{ from: [{ source: { namespaces: [dev] } }], to: [{ operation: { methods: [POST] } }] }] }',
      ],
      allowed: ['default/curl', 'plaintext'],
      denied: ['dev/any'],
      said: /methods: .*waypoint/,
    },
    {
      what: 'AUDIT has no say',
      objects: [
        'AP ns1/anyname: { selector: { matchLabels: { app: myapi } }, action: AUDIT, rules: [{ to: [{ operation: { methods: [GET], paths: ["/user/profile/*"] } }] }] }',
      ],
      allowed: ['default/curl', 'plaintext'],
      denied: [],
      said: /methods/,
    },
    {
      what: 'CUSTOM asks an external authorizer: without a waypoint what it concerns is refused',
      objects: [
        'AP foo/ext-authz: { selector: { matchLabels: { app: httpbin } }, action: CUSTOM, provider: { name: my-custom-authz }, rules: [{ to: [{ operation: { paths: ["/admin/*"] } }] }] }',
      ],
      allowed: [],
      denied: ['default/curl', 'plaintext'],
      said: /CUSTOM needs a waypoint/,
    },
    {
      what: 'an empty spec allows nothing',
      objects: ['AP foo/allow-nothing: {}'],
      allowed: [],
      denied: ['default/curl', 'foo/any', 'plaintext'],
    },
    {
      what: 'a rule without fields, denied, denies all',
      objects: ['AP foo/deny-all: { action: DENY, rules: [{}] }'],
      allowed: [],
      denied: ['default/curl', 'plaintext'],
    },
    {
      what: 'a rule without fields, allowed, allows all',
      objects: ['AP foo/allow-all: { action: ALLOW, rules: [{}] }'],
      allowed: ['default/curl', 'plaintext'],
      denied: [],
    },
    {
      what: 'an ALLOW policy without rules allows nothing: a policy without rules never matches',
      objects: ['AP foo/none: { action: ALLOW }'],
      allowed: [],
      denied: ['default/curl'],
    },
    {
      what: 'a policy concerns its own namespace',
      objects: ['AP foo/allow-nothing: {}'],
      to: 'bar/httpbin',
      allowed: ['default/curl', 'plaintext'],
      denied: [],
    },
    {
      what: 'one in the root namespace concerns all namespaces, or what it selects there',
      objects: [
        'AP istio-system/all: { selector: { matchLabels: { version: v1 } }, action: DENY, rules: [{ from: [{ source: { namespaces: [dev] } }] }] }',
      ],
      allowed: ['default/curl'],
      denied: ['dev/any'],
    },
    {
      what: 'a selector leaves the other pods of the namespace alone',
      objects: ['AP foo/httpbin: { selector: { matchLabels: { app: httpbin, version: v1 } }, rules: [] }'],
      to: 'foo/tcp-echo',
      allowed: ['default/curl'],
      denied: [],
    },
    {
      what: 'values of a field are alternatives, fields of a source all hold, sources are alternatives',
      objects: [
        'AP foo/p: { rules: [{ from: [{ source: { namespaces: [a, b], ipBlocks: [10.0.0.0/24] } }, { source: { principals: ["cluster.local/ns/c/sa/x"] } }], to: [{ operation: { ports: ["80", "81"] } }] }] }',
      ],
      allowed: ['a/any@10.0.0.7', 'b/any@10.0.0.7:81', 'c/x@192.168.1.1'],
      denied: ['a/any@10.0.1.7', 'c/y@10.0.0.7', 'c/x@10.0.0.7:82', 'plaintext@10.0.0.7'],
    },
    {
      what: 'from, to and when all hold',
      objects: [
        'AP foo/p: { rules: [{ from: [{ source: { namespaces: [a] } }], when: [{ key: source.ip, values: [10.0.0.0/8] }, { key: destination.port, notValues: ["81"] }] }] }',
      ],
      allowed: ['a/any@10.9.9.9'],
      denied: ['a/any@11.0.0.1', 'a/any@10.9.9.9:81', 'b/any@10.9.9.9'],
    },
    {
      what: 'strings match exactly, by prefix, by suffix, by presence',
      objects: [
        'AP foo/p: { rules: [{ from: [{ source: { principals: ["*/ns/a/sa/end"] } }, { source: { namespaces: ["pre-*"] } }] }] }',
      ],
      allowed: ['a/end', 'pre-x/any'],
      denied: ['a/endless', 'a/other', 'xpre-x/any', 'plaintext'],
    },
    {
      what: '"*" is any identity, and plaintext has none',
      objects: ['AP foo/p: { rules: [{ from: [{ source: { principals: ["*"] } }] }] }'],
      allowed: ['default/curl'],
      denied: ['plaintext'],
    },
    {
      what: 'negative fields match who has no identity, too',
      objects: ['AP foo/p: { action: DENY, rules: [{ from: [{ source: { notNamespaces: [foo] } }] }] }'],
      allowed: ['foo/any'],
      denied: ['default/curl', 'plaintext'],
    },
    {
      what: 'serviceAccounts are of the policy’s namespace unless they name one',
      objects: ['AP foo/p: { rules: [{ from: [{ source: { serviceAccounts: [curl, default/curl] } }] }] }'],
      allowed: ['foo/curl', 'default/curl'],
      denied: ['bar/curl', 'plaintext'],
    },
    {
      what: 'the address of a request that came through proxies is HTTP: the ALLOW rule is left out',
      objects: ['AP foo/p: { rules: [{ from: [{ source: { remoteIpBlocks: [10.0.0.0/8] } }] }] }'],
      allowed: [],
      denied: ['default/curl@10.0.0.1'],
      said: /remoteIpBlocks/,
    },
    {
      what: 'a target Service is enforced at the pods that serve it',
      objects: [
        'AP default/p: { targetRefs: [{ kind: Service, group: "", name: productpage }], rules: [{ from: [{ source: { namespaces: [foo] } }] }] }',
      ],
      to: 'default/productpage',
      allowed: ['foo/any:9080'],
      denied: ['bar/any:9080', 'plaintext:9080'],
      said: /at the pods that serve productpage/,
    },
    {
      what: 'a target gateway concerns connections through it, and not these pods',
      objects: [
        'AP default/p: { targetRefs: [{ kind: Gateway, group: gateway.networking.k8s.io, name: waypoint }], action: DENY, rules: [{}] }',
      ],
      to: 'default/productpage',
      allowed: ['foo/any', 'plaintext'],
      denied: [],
      said: /only connections through it/,
    },
  ],
  'the order of actions (concepts, implicit enablement)': [
    {
      what: 'without a policy all is allowed',
      objects: [],
      allowed: ['default/curl', 'plaintext'],
      denied: [],
    },
    {
      what: 'DENY goes before ALLOW',
      objects: [
        'AP foo/allow: { action: ALLOW, rules: [{ from: [{ source: { namespaces: [a, b] } }] }] }',
        'AP foo/deny: { action: DENY, rules: [{ from: [{ source: { namespaces: [b] } }] }] }',
      ],
      allowed: ['a/any'],
      denied: ['b/any', 'c/any'],
    },
    {
      what: 'CUSTOM goes before both',
      objects: [
        'AP foo/allow: { action: ALLOW, rules: [{}] }',
        'AP foo/custom: { action: CUSTOM, provider: { name: x }, rules: [{ from: [{ source: { namespaces: [b] } }] }] }',
      ],
      allowed: ['a/any'],
      denied: ['b/any'],
      said: /CUSTOM/,
    },
    {
      what: 'ALLOW policies add up',
      objects: [
        'AP foo/allow-nothing: {}',
        'AP foo/one: { rules: [{ from: [{ source: { namespaces: [a] } }] }] }',
        'AP istio-system/two: { rules: [{ from: [{ source: { namespaces: [b] } }] }] }',
      ],
      allowed: ['a/any', 'b/any'],
      denied: ['c/any'],
    },
    {
      what: 'only DENY policies: what they do not match is allowed',
      objects: ['AP foo/deny: { action: DENY, rules: [{ from: [{ source: { namespaces: [b] } }] }] }'],
      allowed: ['a/any', 'plaintext'],
      denied: ['b/any'],
    },
    {
      what: 'dry run is not enforced',
      objects: ['AP foo/deny-all dry-run: { action: DENY, rules: [{}] }'],
      allowed: ['default/curl', 'plaintext'],
      denied: [],
    },
  ],
  'concepts/security and the tasks': [
    {
      what: 'plain TCP: MongoDB from one service account at its port',
      objects: [
        'AP default/mongodb-policy: { selector: { matchLabels: { app: mongodb } }, action: ALLOW, rules: [{ from: [{ source: { principals: ["cluster.local/ns/default/sa/bookinfo-ratings-v2"] } }], to: [{ operation: { ports: ["27017"] } }] }] }',
      ],
      to: 'default/mongodb',
      allowed: ['default/bookinfo-ratings-v2:27017'],
      denied: ['default/bookinfo-ratings-v2:27018', 'default/bookinfo-details:27017', 'plaintext:27017'],
    },
    {
      what: 'TCP task, step 1: two ports are open',
      objects: [
        'AP foo/tcp-policy: { selector: { matchLabels: { app: tcp-echo } }, action: ALLOW, rules: [{ to: [{ operation: { ports: ["9000", "9001"] } }] }] }',
      ],
      to: 'foo/tcp-echo',
      allowed: ['foo/curl:9000', 'plaintext:9001'],
      denied: ['foo/curl:9002', 'plaintext:9002'],
    },
    {
      what: 'TCP task, step 2: an HTTP method makes the ALLOW rule match nothing, so all ports are closed',
      objects: [
        'AP foo/tcp-policy: { selector: { matchLabels: { app: tcp-echo } }, action: ALLOW, rules: [{ to: [{ operation: { methods: [GET], ports: ["9000"] } }] }] }',
      ],
      to: 'foo/tcp-echo',
      allowed: [],
      denied: ['foo/curl:9000', 'foo/curl:9001'],
      said: /methods/,
    },
    {
      what: 'TCP task, step 3: of a DENY rule the port stays, and is closed',
      objects: [
        'AP foo/tcp-policy: { selector: { matchLabels: { app: tcp-echo } }, action: DENY, rules: [{ to: [{ operation: { methods: [GET], ports: ["9000"] } }] }] }',
      ],
      to: 'foo/tcp-echo',
      allowed: ['foo/curl:9001'],
      denied: ['foo/curl:9000'],
      said: /methods/,
    },
    {
      what: 'everybody but one namespace is denied',
      objects: [
        'AP foo/httpbin-deny: { selector: { matchLabels: { app: httpbin, version: v1 } }, action: DENY, rules: [{ from: [{ source: { notNamespaces: [foo] } }] }] }',
      ],
      allowed: ['foo/curl'],
      denied: ['bar/curl', 'plaintext'],
    },
    {
      what: 'without a request principal, except one path: both are HTTP, so everybody is denied',
      objects: [
        'AP foo/disable-jwt-for-healthz: { selector: { matchLabels: { app: httpbin } }, action: DENY, rules: [{ from: [{ source: { notRequestPrincipals: ["*"] } }], to: [{ operation: { notPaths: [/healthz] } }] }] }',
      ],
      allowed: [],
      denied: ['foo/curl', 'plaintext'],
      said: /notRequestPrincipals/,
    },
    {
      what: 'an ALLOW for prefixes and suffixes of paths allows nobody',
      objects: [
        'AP default/tester: { selector: { matchLabels: { app: products } }, action: ALLOW, rules: [{ to: [{ operation: { paths: ["/test/*", "*/info"] } }] }] }',
      ],
      to: 'default/products',
      allowed: [],
      denied: ['default/curl'],
      said: /paths/,
    },
    {
      what: 'a condition on a header is HTTP',
      objects: [
        'AP foo/httpbin: { selector: { matchLabels: { app: httpbin } }, action: ALLOW, rules: [{ from: [{ source: { principals: ["cluster.local/ns/default/sa/curl"] } }], when: [{ key: "request.headers[version]", values: [v1, v2] }] }] }',
      ],
      allowed: [],
      denied: ['default/curl'],
      said: /request\.headers\[version\]/,
    },
    {
      what: 'ingress: blocks of addresses are denied',
      objects: [
        'AP istio-system/ingress-policy: { selector: { matchLabels: { app: istio-ingressgateway } }, action: DENY, rules: [{ from: [{ source: { ipBlocks: ["1.2.3.4", "5.6.7.0/24"] } }] }] }',
      ],
      to: 'istio-system/gateway',
      allowed: ['plaintext@5.6.8.1', 'plaintext@1.2.3.5'],
      denied: ['plaintext@1.2.3.4', 'plaintext@5.6.7.200'],
    },
  ],
  'ambient mode': [
    {
      what: 'L4: one client may reach echo',
      objects: [
        'AP ambient-demo/allow-curl-to-echo: { selector: { matchLabels: { app: echo } }, action: ALLOW, rules: [{ from: [{ source: { principals: ["cluster.local/ns/ambient-demo/sa/curl"] } }] }] }',
      ],
      to: 'ambient-demo/echo',
      allowed: ['ambient-demo/curl'],
      denied: ['ambient-demo/other', 'default/curl', 'plaintext'],
    },
    {
      what: 'getting started: the gateway may reach productpage, curl may not',
      objects: [
        'AP default/productpage-ztunnel: { selector: { matchLabels: { app: productpage } }, action: ALLOW, rules: [{ from: [{ source: { principals: [cluster.local/ns/default/sa/bookinfo-gateway-istio] } }] }] }',
      ],
      to: 'default/productpage',
      allowed: ['default/bookinfo-gateway-istio:9080'],
      denied: ['default/curl:9080', 'plaintext:9080'],
    },
    {
      what: 'L7 without a waypoint fails safe: the ALLOW admits nobody',
      objects: [
        'AP ambient-demo/allow-get: { selector: { matchLabels: { app: echo } }, action: ALLOW, rules: [{ from: [{ source: { principals: ["cluster.local/ns/ambient-demo/sa/curl"] } }], to: [{ operation: { methods: [GET] } }] }] }',
      ],
      to: 'ambient-demo/echo',
      allowed: [],
      denied: ['ambient-demo/curl'],
      said: /waypoint/,
    },
    {
      what: 'principals are written without the scheme; with it they are understood all the same',
      objects: [
        'AP foo/p: { rules: [{ from: [{ source: { principals: ["spiffe://cluster.local/ns/a/sa/b"] } }] }] }',
      ],
      allowed: ['a/b'],
      denied: ['a/c'],
    },
  ],
  'the reference of PeerAuthentication': [
    {
      what: 'the mesh is STRICT',
      objects: ['PA istio-system/default: { mtls: { mode: STRICT } }'],
      allowed: ['default/curl'],
      denied: ['plaintext'],
    },
    {
      what: 'a namespace is PERMISSIVE under a STRICT mesh',
      objects: [
        'PA istio-system/default: { mtls: { mode: STRICT } }',
        'PA foo/default: { mtls: { mode: PERMISSIVE } }',
      ],
      allowed: ['default/curl', 'plaintext'],
      denied: [],
    },
    {
      what: 'a workload is STRICT in a PERMISSIVE namespace',
      objects: [
        'PA foo/default: { mtls: { mode: PERMISSIVE } }',
        'PA foo/finance: { selector: { matchLabels: { app: finance } }, mtls: { mode: STRICT } }',
      ],
      to: 'foo/finance',
      allowed: ['foo/curl'],
      denied: ['plaintext'],
    },
    {
      what: 'one port of a STRICT workload takes plaintext',
      objects: [
        'PA foo/finance: { selector: { matchLabels: { app: finance } }, mtls: { mode: STRICT }, portLevelMtls: { 8080: { mode: DISABLE } } }',
      ],
      to: 'foo/finance',
      allowed: ['plaintext:8080', 'foo/curl:8080', 'foo/curl:80'],
      denied: ['plaintext:80'],
      said: /DISABLE cannot keep mutual TLS out/,
    },
    {
      what: 'UNSET inherits from the namespace for the other ports',
      objects: [
        'PA foo/default: { mtls: { mode: STRICT } }',
        'PA foo/finance: { selector: { matchLabels: { app: finance } }, mtls: { mode: UNSET }, portLevelMtls: { 8080: { mode: PERMISSIVE } } }',
      ],
      to: 'foo/finance',
      allowed: ['plaintext:8080'],
      denied: ['plaintext:80'],
    },
    {
      what: 'several ports of their own are judged each by itself',
      objects: [
        'PA foo/finance: { selector: { matchLabels: { app: finance } }, portLevelMtls: { 8080: { mode: STRICT }, 8081: { mode: STRICT }, 8082: { mode: PERMISSIVE } } }',
      ],
      to: 'foo/finance',
      allowed: ['plaintext:80', 'plaintext:8082', 'foo/curl:8080'],
      denied: ['plaintext:8080', 'plaintext:8081'],
    },
    {
      what: 'STRICT and an ALLOW for everybody: plaintext stays out',
      objects: ['PA foo/default: { mtls: { mode: STRICT } }', 'AP foo/allow-all: { rules: [{}] }'],
      allowed: ['default/curl'],
      denied: ['plaintext'],
    },
  ],
};

for (const [where, rows] of Object.entries(examples)) {
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
