import { describe, expect, it } from '@jest/globals';
import { keep, nodeFeeds } from '../../../src/kube/api/feed.ts';
import { FeedObjects } from '../../../src/kube/api/feed-objects.ts';
import { parseManifests } from '../../../src/kube/parse-manifests.ts';
import { isKind, type KubeObject } from '../../../src/kube/objects.ts';
import type { NodeName } from '../../../src/model/mesh.ts';

interface Faulty {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: object;
  readonly spec: object;
}

const policy = { apiVersion: 'security.istio.io/v1', kind: 'AuthorizationPolicy' };
const peers = { apiVersion: 'security.istio.io/v1', kind: 'PeerAuthentication' };
const access = { apiVersion: 'mesh-ebpf.io/v1alpha1', kind: 'NamespaceAccess' };
const metadata = { name: 'p', namespace: 'shop' };
const selector = { matchLabels: { app: 'cart' } };
const denied = { inbound: { default: 'Deny' }, egress: { default: 'Deny' } };

const inFile = (object: Faulty): KubeObject | undefined =>
  parseManifests([{ path: 'p.yaml', text: JSON.stringify(object) }], { strict: true }).objects[0]?.object;

function inApi(object: Faulty): KubeObject | undefined {
  const feed = nodeFeeds('node-a' as NodeName).find(({ kind }) => isKind(kind) && kind === object.kind);
  if (feed === undefined) throw new Error(`nobody asks for ${object.kind}`);
  expect(keep(feed, { ...object }).object).toBeUndefined();
  return new FeedObjects(feed).set({ ...object }).set[0]?.object;
}

describe('of an object that cannot be read and never could, there is in force', () => {
  it.each<[string, Faulty, object]>([
    [
      'a policy: everything it is for is refused',
      { ...policy, metadata, spec: { selector, action: 'PERMIT' } },
      { action: 'DENY', rules: [{}], selector },
    ],
    [
      'a policy whose selector cannot be read either: everything in its namespace is',
      { ...policy, metadata, spec: { selector: 7, action: 'PERMIT' } },
      { action: 'DENY', rules: [{}] },
    ],
    [
      'an authentication of peers: STRICT',
      { ...peers, metadata, spec: { selector, mtls: { mode: 'SOMETIMES' } } },
      { mtls: { mode: 'STRICT' }, selector },
    ],
    [
      'a NamespaceAccess: nothing, both ways, for those it is for',
      { ...access, metadata, spec: { selector, egress: { default: 'Denied' } } },
      { ...denied, selector },
    ],
    [
      'one with metadata that cannot be read: the same without them',
      { ...access, metadata: { ...metadata, labels: 7 }, spec: { egress: { default: 'Denied' } } },
      denied,
    ],
  ])('of %s', (_what, object, spec) => {
    expect(inFile(object)).toMatchObject({ kind: object.kind, metadata, spec });
    expect(inApi(object)).toMatchObject({ kind: object.kind, metadata, spec });
  });

  it('nothing of a kind that restricts nobody', () => {
    const service = { apiVersion: 'v1', kind: 'Service', metadata, spec: { ports: 'http' } };
    expect([inFile(service), inApi(service)]).toEqual([undefined, undefined]);
  });
});
