/** Istio’s concepts, tasks and guides of ambient mode. */
import type { Examples } from './example.ts';

export const guides: Examples = {
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
};
