/** reference/config/security: authorization-policy, conditions; and the order of actions. */
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
      what: 'POST is denied on one port: all TCP on that port is denied, as the reference says, and no other',
      objects: [
        'AP foo/httpbin: { action: DENY, rules: [{ to: [{ operation: { methods: ["POST"], ports: ["8080"] } }] }] }',
      ],
      allowed: ['default/curl:80', 'plaintext:80'],
      denied: ['default/curl:8080', 'plaintext:8080'],
      said: /methods: .*waypoint/,
    },
    {
      what: 'AUDIT has no say',
      objects: [
        'AP foo/anyname: { selector: { matchLabels: { app: httpbin } }, action: AUDIT, rules: [{ to: [{ operation: { methods: [GET], paths: ["/user/profile/*"] } }] }] }',
      ],
      allowed: ['default/curl', 'plaintext'],
      denied: [],
      said: /methods/,
    },
    {
      what: 'CUSTOM asks an external authorizer: without a waypoint what it concerns is refused',
      objects: [
        'AP istio-system/ext-authz: { selector: { matchLabels: { app: istio-ingressgateway } }, action: CUSTOM, provider: { name: my-custom-authz }, rules: [{ to: [{ operation: { paths: ["/admin/*"] } }] }] }',
      ],
      to: 'istio-system/gateway',
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
      what: 'allow-nothing for the workloads with a label in one namespace',
      objects: ['AP bar/allow-nothing: { selector: { matchLabels: { app: httpbin } } }'],
      to: 'bar/httpbin',
      allowed: [],
      denied: ['bar/curl', 'plaintext'],
    },
    {
      what: 'and none but these',
      objects: ['AP bar/allow-nothing: { selector: { matchLabels: { app: httpbin } } }'],
      to: 'bar/other',
      allowed: ['bar/curl', 'plaintext'],
      denied: [],
    },
    {
      what: 'allow-nothing in the root namespace for the workloads with a label in all namespaces',
      objects: ['AP istio-system/allow-nothing: { selector: { matchLabels: { version: v1 } } }'],
      to: 'bar/other',
      allowed: [],
      denied: ['bar/curl', 'plaintext'],
    },
    {
      what: 'dry-run-example is not enforced',
      objects: [
        'AP foo/dry-run-example dry-run: { selector: { matchLabels: { app: httpbin } }, action: DENY, rules: [{ to: [{ operation: { paths: ["/headers"] } }] }] }',
      ],
      allowed: ['default/curl', 'plaintext'],
      denied: [],
      said: /paths/,
    },
    {
      what: 'fields of a source all hold: principal, namespace, and not an address',
      objects: [
        'AP foo/p: { rules: [{ from: [{ source: { principals: ["*/sa/admin", "*/sa/dev"], namespaces: ["prod", "test"], notIpBlocks: ["203.0.113.4"] } }] }] }',
      ],
      allowed: ['prod/admin', 'test/dev@203.0.113.5'],
      denied: ['prod/admin@203.0.113.4', 'prod/other', 'stage/dev', 'plaintext'],
    },
    {
      what: 'a principal is the whole identity: a name alone is nobody’s',
      objects: ['AP foo/p: { rules: [{ from: [{ source: { principals: ["admin", "dev"] } }] }] }'],
      allowed: [],
      denied: ['prod/admin', 'plaintext'],
      said: /is nobody's/,
    },
    {
      what: 'prefix: abc* matches abc and abcd; suffix: *abc matches abc and xabc',
      objects: [
        'AP foo/p: { rules: [{ from: [{ source: { namespaces: ["abc*"] } }, { source: { namespaces: ["*xyz"] } }] }] }',
      ],
      allowed: ['abc/any', 'abcd/any', 'xyz/any', 'wxyz/any'],
      denied: ['ab/any', 'xyza/any', 'plaintext'],
    },
    {
      what: 'negative principals and namespaces: everybody else, who has no identity included',
      objects: [
        'AP foo/p: { rules: [{ from: [{ source: { notPrincipals: ["cluster.local/ns/a/sa/b"], notNamespaces: ["c"] } }] }] }',
      ],
      allowed: ['a/x', 'plaintext'],
      denied: ['a/b', 'c/any'],
    },
    {
      what: 'serviceAccounts beside namespaces: the API server refuses it by the definition; in files both hold',
      objects: [
        'AP foo/p: { rules: [{ from: [{ source: { serviceAccounts: [curl], namespaces: [foo] } }] }] }',
      ],
      allowed: ['foo/curl'],
      denied: ['foo/other', 'bar/curl', 'plaintext'],
    },
    {
      what: 'serviceAccounts know no asterisk: an invalid DENY denies more',
      objects: [
        'AP foo/p: { action: DENY, rules: [{ from: [{ source: { serviceAccounts: ["default/*"] } }] }] }',
      ],
      allowed: [],
      denied: ['default/curl', 'bar/any', 'plaintext'],
      said: /default\/\*/,
    },
    {
      what: 'trustDomains, exactly or by pattern',
      objects: ['AP foo/p: { rules: [{ from: [{ source: { trustDomains: ["cluster.*"] } }] }] }'],
      allowed: ['default/curl'],
      denied: ['plaintext'],
    },
    {
      what: 'a condition needs values or notValues: an invalid DENY denies more',
      objects: ['AP foo/p: { action: DENY, rules: [{ when: [{ key: source.ip }] }] }'],
      allowed: [],
      denied: ['default/curl', 'plaintext'],
      said: /no condition is given/,
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
  'the reference of conditions': [
    {
      what: 'source.ip, a single address or a block',
      objects: ['AP foo/p: { rules: [{ when: [{ key: source.ip, values: ["10.1.2.3", "10.2.0.0/16"] }] }] }'],
      allowed: ['plaintext@10.1.2.3', 'default/curl@10.2.9.9'],
      denied: ['plaintext@10.1.2.4'],
    },
    {
      what: 'source.namespace',
      objects: ['AP foo/p: { rules: [{ when: [{ key: source.namespace, values: ["default"] }] }] }'],
      allowed: ['default/curl'],
      denied: ['foo/curl', 'plaintext'],
    },
    {
      what: 'source.principal',
      objects: [
        'AP foo/p: { rules: [{ when: [{ key: source.principal, values: ["cluster.local/ns/default/sa/productpage"] }] }] }',
      ],
      allowed: ['default/productpage'],
      denied: ['default/curl', 'plaintext'],
    },
    {
      what: 'destination.ip, a single address or a block',
      objects: [
        'AP foo/p: { rules: [{ when: [{ key: destination.ip, values: ["10.0.1.1", "10.2.0.0/16"] }] }] }',
      ],
      allowed: ['plaintext'],
      denied: [],
    },
    {
      what: 'destination.ip of another',
      objects: ['AP foo/p: { rules: [{ when: [{ key: destination.ip, values: ["10.1.2.3"] }] }] }'],
      allowed: [],
      denied: ['default/curl'],
    },
    {
      what: 'destination.port',
      objects: ['AP foo/p: { rules: [{ when: [{ key: destination.port, values: ["80", "443"] }] }] }'],
      allowed: ['plaintext:80', 'default/curl:443'],
      denied: ['default/curl:81'],
    },
    ...[
      'request.headers[User-Agent]',
      'request.auth.claims[iss]',
      'remote.ip',
      'connection.sni',
      'experimental.envoy.filters.a[b]',
    ].flatMap((key) => [
      {
        what: `${key} is beyond L4: of an ALLOW policy the rule is left out`,
        objects: [
          `AP foo/p: { rules: [{ from: [{ source: { namespaces: [default] } }], when: [{ key: "${key}", values: ["1.2.3.4"] }] }] }`,
        ],
        allowed: [],
        denied: ['default/curl', 'plaintext'],
        said: /cannot be checked at L4/,
      },
      {
        what: `${key} is beyond L4: of a DENY policy the condition is`,
        objects: [
          `AP foo/p: { action: DENY, rules: [{ from: [{ source: { namespaces: [default] } }], when: [{ key: "${key}", values: ["1.2.3.4"] }] }] }`,
        ],
        allowed: ['foo/curl', 'plaintext'],
        denied: ['default/curl'],
        said: /cannot be checked at L4/,
      },
    ]),
  ],
  'the order of actions (authorization-policy; concepts/security, implicit enablement)': [
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
};
