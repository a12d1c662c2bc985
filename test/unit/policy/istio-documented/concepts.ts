/** Istio’s concepts of security. */
import type { Examples } from './example.ts';

export const concepts: Examples = {
  'concepts/security, Authorization': [
    {
      what: 'a service account or a namespace, with a method and a claim: an ALLOW rule with HTTP is left out',
      objects: [
        'AP foo/httpbin: { selector: { matchLabels: { app: httpbin, version: v1 } }, action: ALLOW, rules: [{ from: [{ source: { principals: ["cluster.local/ns/default/sa/curl"] } }, { source: { namespaces: ["dev"] } }], to: [{ operation: { methods: ["GET"] } }], when: [{ key: "request.auth.claims[iss]", values: ["https://accounts.google.com"] }] }] }',
      ],
      allowed: [],
      denied: ['default/curl', 'dev/any', 'plaintext'],
      said: /methods: .*waypoint/,
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
      what: 'policy target: methods of a workload, as of no other',
      objects: [
        'AP default/allow-read: { selector: { matchLabels: { app: products } }, action: ALLOW, rules: [{ to: [{ operation: { methods: ["GET", "HEAD"] } }] }] }',
      ],
      to: 'default/products',
      allowed: [],
      denied: ['default/curl'],
      said: /methods/,
    },
    {
      what: 'value matching: an ALLOW for prefixes and suffixes of paths allows nobody',
      objects: [
        'AP default/tester: { selector: { matchLabels: { app: products } }, action: ALLOW, rules: [{ to: [{ operation: { paths: ["/test/*", "*/info"] } }] }] }',
      ],
      to: 'default/products',
      allowed: [],
      denied: ['default/curl'],
      said: /paths/,
    },
    {
      what: 'value matching: ipBlocks and ports know no asterisks; that is a mistake, and stricter',
      objects: ['AP foo/p: { action: DENY, rules: [{ from: [{ source: { ipBlocks: ["10.*"] } }] }] }'],
      allowed: [],
      denied: ['default/curl@10.0.0.1', 'default/curl@192.168.0.1'],
      said: /10\.\*/,
    },
    {
      what: 'exclusion matching: a request principal but for one path is HTTP, so nobody is allowed',
      objects: [
        'AP default/disable-jwt-for-healthz: { selector: { matchLabels: { app: products } }, action: ALLOW, rules: [{ to: [{ operation: { notPaths: ["/healthz"] } }], from: [{ source: { requestPrincipals: ["*"] } }] }] }',
      ],
      to: 'default/products',
      allowed: [],
      denied: ['default/curl', 'plaintext'],
      said: /requestPrincipals/,
    },
    {
      what: 'exclusion matching: one path without a request principal is HTTP, so of a DENY nothing stays but all',
      objects: [
        'AP default/enable-jwt-for-admin: { selector: { matchLabels: { app: products } }, action: DENY, rules: [{ to: [{ operation: { paths: ["/admin"] } }], from: [{ source: { notRequestPrincipals: ["*"] } }] }] }',
      ],
      to: 'default/products',
      allowed: [],
      denied: ['default/curl', 'plaintext'],
      said: /notRequestPrincipals/,
    },
    {
      what: 'exclusion matching: addresses, ports and values of conditions',
      objects: [
        'AP foo/p: { rules: [{ from: [{ source: { namespaces: ["*"], notIpBlocks: ["10.1.0.0/16"] } }], to: [{ operation: { notPorts: ["22"] } }], when: [{ key: source.principal, notValues: ["*/sa/guest"] }] }] }',
      ],
      allowed: ['default/curl@10.2.0.1:80'],
      denied: [
        'default/curl@10.1.0.1:80',
        'default/curl@10.2.0.1:22',
        'default/guest@10.2.0.1:80',
        'plaintext',
      ],
    },
    {
      what: 'allow-nothing: without rules it never matches',
      objects: ['AP foo/allow-nothing: { action: ALLOW }'],
      allowed: [],
      denied: ['foo/curl', 'plaintext'],
    },
    {
      what: 'deny-all goes before an ALLOW for all',
      objects: [
        'AP foo/deny-all: { action: DENY, rules: [{}] }',
        'AP foo/allow-all: { action: ALLOW, rules: [{}] }',
      ],
      allowed: [],
      denied: ['foo/curl', 'plaintext'],
    },
    {
      what: 'allow-all makes other ALLOW policies useless, and DENY ones not',
      objects: [
        'AP foo/allow-all: { action: ALLOW, rules: [{}] }',
        'AP foo/allow-nothing: { action: ALLOW }',
        'AP foo/deny: { action: DENY, rules: [{ from: [{ source: { namespaces: [bar] } }] }] }',
      ],
      allowed: ['foo/curl', 'plaintext'],
      denied: ['bar/curl'],
    },
    {
      what: 'deny by default only applies where there is an ALLOW policy',
      objects: ['AP foo/deny: { action: DENY, rules: [{ from: [{ source: { namespaces: [bar] } }] }] }'],
      allowed: ['foo/curl', 'plaintext'],
      denied: ['bar/curl'],
    },
    {
      what: 'custom conditions: one on a header is HTTP',
      objects: [
        'AP foo/httpbin: { selector: { matchLabels: { app: httpbin, version: v1 } }, action: ALLOW, rules: [{ from: [{ source: { principals: ["cluster.local/ns/default/sa/curl"] } }], to: [{ operation: { methods: ["GET"] } }], when: [{ key: "request.headers[version]", values: ["v1", "v2"] }] }] }',
      ],
      allowed: [],
      denied: ['default/curl'],
      said: /request\.headers\[version\]/,
    },
    {
      what: 'unauthenticated identity: without a source everybody may',
      objects: ['AP foo/httpbin: { action: ALLOW, rules: [{ to: [{ operation: { ports: ["80"] } }] }] }'],
      allowed: ['default/curl', 'plaintext'],
      denied: ['default/curl:81'],
    },
    {
      what: 'authenticated identity: "*" for principals',
      objects: [
        'AP foo/httpbin: { action: ALLOW, rules: [{ from: [{ source: { principals: ["*"] } }], to: [{ operation: { ports: ["80"] } }] }] }',
      ],
      allowed: ['default/curl'],
      denied: ['plaintext', 'default/curl:81'],
    },
    {
      what: 'plain TCP: MongoDB from one service account at its port',
      objects: [
        'AP default/mongodb-policy: { selector: { matchLabels: { app: mongodb } }, action: ALLOW, rules: [{ from: [{ source: { principals: ["cluster.local/ns/default/sa/bookinfo-ratings-v2"] } }], to: [{ operation: { ports: ["27017"] } }] }] }',
      ],
      to: 'default/mongodb',
      allowed: ['default/bookinfo-ratings-v2:27017'],
      denied: ['default/bookinfo-ratings-v2:27018', 'default/bookinfo-details:27017', 'plaintext:27017'],
    },
  ],
  'concepts/security, Authentication policies': [
    {
      what: 'a workload is STRICT',
      objects: [
        'PA foo/example-peer-policy: { selector: { matchLabels: { app: reviews } }, mtls: { mode: STRICT } }',
      ],
      to: 'foo/reviews',
      allowed: ['default/curl'],
      denied: ['plaintext'],
    },
    {
      what: 'and no other than its own',
      objects: [
        'PA foo/example-peer-policy: { selector: { matchLabels: { app: reviews } }, mtls: { mode: STRICT } }',
      ],
      allowed: ['plaintext'],
      denied: [],
    },
    {
      what: 'an empty selector is as none: the policy of a namespace',
      objects: ['PA foo/default: { selector: { matchLabels: {} }, mtls: { mode: STRICT } }'],
      allowed: ['default/curl'],
      denied: ['plaintext'],
    },
    {
      what: 'of several for the mesh or a namespace the newer ones are ignored',
      objects: [
        'PA foo/a of 2026-02-02: { mtls: { mode: PERMISSIVE } }',
        'PA foo/b of 2026-01-01: { mtls: { mode: STRICT } }',
      ],
      allowed: ['default/curl'],
      denied: ['plaintext'],
    },
    {
      what: 'of several for a workload the oldest counts',
      objects: [
        'PA foo/a of 2026-02-02: { selector: { matchLabels: { app: httpbin } }, mtls: { mode: STRICT } }',
        'PA foo/b of 2026-01-01: { selector: { matchLabels: { version: v1 } }, mtls: { mode: PERMISSIVE } }',
      ],
      allowed: ['plaintext'],
      denied: [],
    },
    {
      what: 'the narrowest decides: workload, namespace, mesh',
      objects: [
        'PA istio-system/default: { mtls: { mode: PERMISSIVE } }',
        'PA foo/default: { mtls: { mode: STRICT } }',
        'PA foo/w: { selector: { matchLabels: { app: httpbin } }, mtls: { mode: PERMISSIVE } }',
      ],
      allowed: ['plaintext'],
      denied: [],
    },
    {
      what: 'an unset mode is the parent’s, of the mesh PERMISSIVE',
      objects: ['PA istio-system/default: { mtls: { mode: UNSET } }', 'PA foo/default: {}'],
      allowed: ['plaintext'],
      denied: [],
    },
    {
      what: 'one port is DISABLE, the others are as the namespace',
      objects: [
        'PA foo/example-policy: { mtls: { mode: STRICT } }',
        'PA foo/example-workload-policy: { selector: { matchLabels: { app: example-app } }, portLevelMtls: { 80: { mode: DISABLE } } }',
      ],
      to: 'foo/example-app',
      allowed: ['plaintext:80'],
      denied: ['plaintext:81'],
      said: /DISABLE cannot keep mutual TLS out/,
    },
  ],
};
