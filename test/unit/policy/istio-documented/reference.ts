/** The references of AuthorizationPolicy and PeerAuthentication, and the order of actions. */
import type { Examples } from './example.ts';

const curl = '"cluster.local/ns/default/sa/curl"';

export const references: Examples = {
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
