/** reference/config/security/peer_authentication. */
import type { Examples } from './example.ts';

export const peerAuthentications: Examples = {
  'the reference of PeerAuthentication': [
    {
      what: 'a namespace is STRICT',
      objects: ['PA foo/default: { mtls: { mode: STRICT } }'],
      allowed: ['default/curl'],
      denied: ['plaintext'],
    },
    {
      what: 'one with a selector in the root namespace is ignored',
      objects: [
        'PA istio-system/httpbin: { selector: { matchLabels: { app: httpbin } }, mtls: { mode: STRICT } }',
      ],
      allowed: ['plaintext'],
      denied: [],
      said: /selects nobody|root namespace/,
    },
    {
      what: 'portLevelMtls needs a selector: an invalid policy is STRICT',
      objects: [
        'PA foo/default: { mtls: { mode: PERMISSIVE }, portLevelMtls: { 8080: { mode: PERMISSIVE } } }',
      ],
      allowed: ['default/curl'],
      denied: ['plaintext:80'],
      said: /portLevelMtls/,
    },
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
        'PA foo/default: { selector: { matchLabels: { app: finance } }, mtls: { mode: STRICT }, portLevelMtls: { 8080: { mode: DISABLE } } }',
      ],
      to: 'foo/finance',
      allowed: ['plaintext:8080', 'foo/curl:8080', 'foo/curl:80'],
      denied: ['plaintext:80'],
      said: /DISABLE cannot keep mutual TLS out/,
    },
    {
      what: 'UNSET inherits from the namespace or mesh for the other ports',
      objects: [
        'PA istio-system/default: { mtls: { mode: STRICT } }',
        'PA foo/default: { selector: { matchLabels: { app: finance } }, mtls: { mode: UNSET }, portLevelMtls: { 8080: { mode: DISABLE } } }',
      ],
      to: 'foo/finance',
      allowed: ['plaintext:8080'],
      denied: ['plaintext:80'],
      said: /DISABLE cannot keep mutual TLS out/,
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
