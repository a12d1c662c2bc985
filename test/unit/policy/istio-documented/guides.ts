/** Istio’s tasks, operations and guides of ambient mode. */
import type { Examples } from './example.ts';

export const guides: Examples = {
  'tasks/security/authorization': [
    {
      what: 'authz-tcp: two ports are open',
      objects: [
        'AP foo/tcp-policy: { selector: { matchLabels: { app: tcp-echo } }, action: ALLOW, rules: [{ to: [{ operation: { ports: ["9000", "9001"] } }] }] }',
      ],
      to: 'foo/tcp-echo',
      allowed: ['foo/curl:9000', 'plaintext:9001'],
      denied: ['foo/curl:9002', 'plaintext:9002'],
    },
    {
      what: 'authz-tcp: an HTTP method makes the ALLOW rule invalid, so all ports are closed',
      objects: [
        'AP foo/tcp-policy: { selector: { matchLabels: { app: tcp-echo } }, action: ALLOW, rules: [{ to: [{ operation: { methods: [GET], ports: ["9000"] } }] }] }',
      ],
      to: 'foo/tcp-echo',
      allowed: [],
      denied: ['foo/curl:9000', 'foo/curl:9001'],
      said: /methods/,
    },
    {
      what: 'authz-tcp: of a DENY rule with a method alone nothing stays but all ports',
      objects: [
        'AP foo/tcp-policy: { selector: { matchLabels: { app: tcp-echo } }, action: DENY, rules: [{ to: [{ operation: { methods: [GET] } }] }] }',
      ],
      to: 'foo/tcp-echo',
      allowed: [],
      denied: ['foo/curl:9000', 'foo/curl:9001'],
      said: /methods/,
    },
    {
      what: 'authz-tcp: of a DENY rule the port stays, and is closed',
      objects: [
        'AP foo/tcp-policy: { selector: { matchLabels: { app: tcp-echo } }, action: DENY, rules: [{ to: [{ operation: { methods: [GET], ports: ["9000"] } }] }] }',
      ],
      to: 'foo/tcp-echo',
      allowed: ['foo/curl:9001'],
      denied: ['foo/curl:9000'],
      said: /methods/,
    },
    {
      what: 'authz-ingress: an allow list of addresses',
      objects: [
        'AP istio-system/ingress-policy: { selector: { matchLabels: { app: istio-ingressgateway } }, action: ALLOW, rules: [{ from: [{ source: { ipBlocks: ["1.2.3.4", "5.6.7.0/24"] } }] }] }',
      ],
      to: 'istio-system/gateway',
      allowed: ['plaintext@1.2.3.4', 'plaintext@5.6.7.200', 'default/curl@5.6.7.1'],
      denied: ['plaintext@5.6.8.1', 'plaintext@1.2.3.5', 'default/curl@192.168.10.15'],
    },
    {
      what: 'authz-ingress: a deny list of addresses',
      objects: [
        'AP istio-system/ingress-policy: { selector: { matchLabels: { app: istio-ingressgateway } }, action: DENY, rules: [{ from: [{ source: { ipBlocks: ["192.168.10.15"] } }] }] }',
      ],
      to: 'istio-system/gateway',
      allowed: ['plaintext@1.2.3.4'],
      denied: ['plaintext@192.168.10.15'],
    },
    {
      what: 'authz-ingress: remoteIpBlocks are what a proxy says, which L4 does not read: nobody is allowed',
      objects: [
        'AP istio-system/ingress-policy: { selector: { matchLabels: { app: istio-ingressgateway } }, action: ALLOW, rules: [{ from: [{ source: { remoteIpBlocks: ["1.2.3.4", "5.6.7.0/24"] } }] }] }',
      ],
      to: 'istio-system/gateway',
      allowed: [],
      denied: ['plaintext@1.2.3.4'],
      said: /remoteIpBlocks/,
    },
    {
      what: 'authz-ingress: and of a deny list of them everybody is denied',
      objects: [
        'AP istio-system/ingress-policy: { selector: { matchLabels: { app: istio-ingressgateway } }, action: DENY, rules: [{ from: [{ source: { remoteIpBlocks: ["192.168.10.15"] } }] }] }',
      ],
      to: 'istio-system/gateway',
      allowed: [],
      denied: ['plaintext@1.2.3.4'],
      said: /remoteIpBlocks/,
    },
    {
      what: 'authz-td-migration: an identity of the old trust domain is nobody’s in the new one, until it is written anew',
      objects: [
        'AP default/service-httpbin.default.svc.cluster.local: { selector: { matchLabels: { app: httpbin } }, rules: [{ from: [{ source: { principals: ["old-td/ns/sleep-allow/sa/sleep"] } }], to: [{ operation: { ports: ["80"] } }] }] }',
      ],
      to: 'default/httpbin',
      allowed: [],
      denied: ['sleep-allow/sleep', 'default/sleep'],
      said: /trust domain is cluster\.local/,
    },
  ],
  'ops/configuration/security/security-policy-examples': [
    {
      what: 'a JWT issuer per host is HTTP; so nobody is allowed',
      objects: [
        'AP istio-system/jwt-per-host: { selector: { matchLabels: { istio: ingressgateway } }, action: ALLOW, rules: [{ from: [{ source: { requestPrincipals: ["*@example.com"] } }], to: [{ operation: { hosts: ["example.com", "*.example.com"] } }] }] }',
      ],
      to: 'istio-system/gateway',
      allowed: [],
      denied: ['default/curl', 'plaintext'],
      said: /hosts/,
    },
    {
      what: 'namespace isolation',
      objects: [
        'AP foo/foo-isolation: { action: ALLOW, rules: [{ from: [{ source: { namespaces: ["foo"] } }] }] }',
      ],
      allowed: ['foo/curl'],
      denied: ['bar/curl', 'plaintext'],
    },
    {
      what: 'namespace isolation with ingress exception',
      objects: [
        'AP foo/ns-isolation-except-ingress: { action: ALLOW, rules: [{ from: [{ source: { namespaces: ["foo"] } }, { source: { principals: ["cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account"] } }] }] }',
      ],
      allowed: ['foo/curl', 'istio-system/istio-ingressgateway-service-account'],
      denied: ['istio-system/other', 'bar/curl', 'plaintext'],
    },
    {
      what: 'mutual TLS in the authorization layer: who has no principal is denied',
      objects: [
        'AP foo/require-mtls: { action: DENY, rules: [{ from: [{ source: { notPrincipals: ["*"] } }] }] }',
      ],
      allowed: ['bar/curl'],
      denied: ['plaintext'],
    },
    {
      what: 'a mandatory JWT by DENY is HTTP, so everybody is denied',
      objects: [
        'AP istio-system/require-jwt: { selector: { matchLabels: { istio: ingressgateway } }, action: DENY, rules: [{ from: [{ source: { notRequestPrincipals: ["*"] } }] }] }',
      ],
      to: 'istio-system/gateway',
      allowed: [],
      denied: ['default/curl', 'plaintext'],
      said: /notRequestPrincipals/,
    },
    {
      what: 'namespace isolation by DENY: an ALLOW for all does not get past it',
      objects: [
        'AP foo/ns-isolation-except-ingress: { action: DENY, rules: [{ from: [{ source: { notNamespaces: ["foo"], notPrincipals: ["cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account"] } }] }] }',
        'AP foo/allow-all: { rules: [{}] }',
      ],
      allowed: ['foo/curl', 'istio-system/istio-ingressgateway-service-account'],
      denied: ['bar/curl', 'istio-system/other', 'plaintext'],
    },
  ],
  'ambient/usage/l4-policy': [
    {
      what: 'one client may reach httpbin',
      objects: [
        'AP ambient-demo/allow-curl-to-httpbin: { selector: { matchLabels: { app: httpbin } }, action: ALLOW, rules: [{ from: [{ source: { principals: [cluster.local/ns/ambient-demo/sa/curl] } }] }] }',
      ],
      to: 'ambient-demo/httpbin',
      allowed: ['ambient-demo/curl'],
      denied: ['ambient-demo/other', 'default/curl', 'plaintext'],
    },
    {
      what: 'every attribute of its table is L4',
      objects: [
        'AP foo/p: { action: ALLOW, rules: [{ from: [{ source: { principals: ["*/sa/curl"], notPrincipals: ["*/sa/guest"], namespaces: [a], notNamespaces: [b], ipBlocks: ["10.0.0.0/8"], notIpBlocks: ["10.1.0.0/16"] } }], to: [{ operation: { ports: ["80", "81"], notPorts: ["81"] } }], when: [{ key: source.ip, values: ["10.0.0.0/16"] }, { key: source.namespace, values: [a] }, { key: source.principal, values: ["*"] }, { key: destination.ip, values: ["10.0.1.0/24"] }, { key: destination.port, values: ["80"] }] }] }',
      ],
      allowed: ['a/curl@10.0.0.9'],
      denied: [
        'a/curl@10.0.0.9:81',
        'a/curl@10.1.0.9',
        'a/guest@10.0.0.9',
        'b/curl@10.0.0.9',
        'plaintext@10.0.0.9',
      ],
    },
    {
      what: 'policies with L7 conditions fail safe: the ALLOW admits nobody',
      objects: [
        'AP ambient-demo/allow-curl-to-httpbin: { selector: { matchLabels: { app: httpbin } }, action: ALLOW, rules: [{ from: [{ source: { principals: [cluster.local/ns/ambient-demo/sa/curl] } }], to: [{ operation: { methods: ["GET"] } }] }] }',
      ],
      to: 'ambient-demo/httpbin',
      allowed: [],
      denied: ['ambient-demo/curl'],
      said: /waypoint/,
    },
    {
      what: 'peer authentication: PERMISSIVE by default',
      objects: [],
      allowed: ['plaintext', 'default/curl'],
      denied: [],
    },
    {
      what: 'peer authentication: DISABLE is not supported, and as PERMISSIVE',
      objects: ['PA foo/default: { mtls: { mode: DISABLE } }'],
      allowed: ['plaintext', 'default/curl'],
      denied: [],
      said: /DISABLE cannot keep mutual TLS out/,
    },
  ],
  'ambient/getting-started/enforce-auth-policies': [
    {
      what: 'the gateway may reach productpage, curl may not',
      objects: [
        'AP default/productpage-ztunnel: { selector: { matchLabels: { app: productpage } }, action: ALLOW, rules: [{ from: [{ source: { principals: [cluster.local/ns/default/sa/bookinfo-gateway-istio] } }] }] }',
      ],
      to: 'default/productpage',
      allowed: ['default/bookinfo-gateway-istio:9080'],
      denied: ['default/curl:9080', 'plaintext:9080'],
    },
    {
      what: 'the policy of the waypoint, with a method, at the pods of its Service: nobody is allowed past a waypoint',
      objects: [
        'AP default/productpage-waypoint: { targetRefs: [{ kind: Service, group: "", name: productpage }], action: ALLOW, rules: [{ from: [{ source: { principals: [cluster.local/ns/default/sa/curl] } }], to: [{ operation: { methods: ["GET"] } }] }] }',
      ],
      to: 'default/productpage',
      allowed: [],
      denied: ['default/curl:9080', 'default/reviews:9080'],
      said: /methods/,
    },
  ],
  'beyond what Istio documents': [
    {
      what: 'principals are written without the scheme; with it they are understood here, and match nobody in ztunnel',
      objects: [
        'AP foo/p: { rules: [{ from: [{ source: { principals: ["spiffe://cluster.local/ns/a/sa/b"] } }] }] }',
      ],
      allowed: ['a/b'],
      denied: ['a/c'],
    },
  ],
};
