import { describe, expect, it } from '@jest/globals';
import { formatProblem } from '../../../../src/kube/problem.ts';
import { translatePod, type TranslatedPod } from '../../../../src/kube/translate/workload.ts';
import type { Workload } from '../../../../src/model/mesh.ts';
import { meshConfig } from '../../../support/mesh-builder.ts';
import { objectIn } from '../support.ts';

interface PodText {
  readonly metadata?: string;
  readonly spec?: string;
  readonly status?: string;
}

function translate(
  { metadata = '', spec = '', status = 'podIP: 10.0.0.1' }: PodText,
  mode?: string,
  sameNode?: string,
  accelerate?: string,
): TranslatedPod {
  const pod = objectIn(
    'Pod',
    `{apiVersion: v1, kind: Pod, metadata: {name: web-1, namespace: shop, ${metadata}}, spec: {nodeName: node-a, containers: [{name: c}], ${spec}}, status: {${status}}}`,
  );
  return translatePod(pod, { mode, sameNode, accelerate }, meshConfig);
}

function workload(text: PodText, mode?: string, sameNode?: string, accelerate?: string): Workload {
  const { workload: translated, problem } = translate(text, mode, sameNode, accelerate);
  if (translated === undefined) throw new Error(problem?.message ?? 'no workload');
  return translated;
}

it('makes a workload of a pod', () => {
  const metadata = 'uid: u-1, labels: {app: web}';
  const spec = 'serviceAccountName: frontend';
  expect(
    workload({
      metadata,
      spec,
      status: 'phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: "FD00::0:1"}]',
    }),
  ).toEqual({
    uid: 'u-1',
    namespace: 'shop',
    name: 'web-1',
    serviceAccount: 'frontend',
    identity: 'spiffe://cluster.local/ns/shop/sa/frontend',
    node: 'node-a',
    addresses: ['10.0.0.1', 'fd00::1'],
    protocol: 'tcp',
    hostNetwork: false,
    terminating: false,
    owner: { name: 'web-1', kind: 'pod' },
    labels: { app: 'web' },
  });
});

describe('enrolment', () => {
  const ambient = 'labels: {istio.io/dataplane-mode: ambient}';
  const none = 'labels: {istio.io/dataplane-mode: none}';

  it.each<[string, PodText, string | undefined, Workload['protocol']]>([
    ['a pod of an enrolled namespace is in', {}, 'ambient', 'hbone'],
    ['a pod of a namespace without the label, or an unknown one, is not', {}, undefined, 'tcp'],
    ['a pod of a namespace with another mode is not', {}, 'none', 'tcp'],
    ['a pod’s own label puts it in', { metadata: ambient }, undefined, 'hbone'],
    ['a pod’s own label takes it out', { metadata: none }, 'ambient', 'tcp'],
    ['a host-network pod is never in', { metadata: ambient, spec: 'hostNetwork: true' }, 'ambient', 'tcp'],
    [
      'a pod with an injected sidecar is not',
      { metadata: 'annotations: {sidecar.istio.io/status: "{}"}' },
      'ambient',
      'tcp',
    ],
  ])('%s', (_, text, mode, protocol) => {
    expect(workload(text, mode).protocol).toBe(protocol);
  });
});

describe('a pod that is no workload', () => {
  it.each<[string, PodText]>([
    ['has no address yet', { status: 'phase: Pending' }],
    ['has an empty address', { status: 'phase: Pending, podIP: ""' }],
    ['has succeeded', { status: 'phase: Succeeded, podIP: 10.0.0.1' }],
    ['has failed', { status: 'phase: Failed, podIP: 10.0.0.1' }],
  ])('%s, which is nobody’s fault', (_, text) => {
    expect(translate(text)).toEqual({ workload: undefined, problem: undefined });
  });

  it('has an address that is none', () => {
    const { workload: nobody, problem } = translate({
      status: 'podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: 10.0.0.300}]',
    });
    expect(nobody).toBeUndefined();
    expect(problem && formatProblem(problem)).toBe(
      'test.yaml:1:1: pod/shop/web-1: status.podIPs: not all of them are IP addresses',
    );
  });

  it('has an address and no node', () => {
    const pod = objectIn(
      'Pod',
      '{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c}]}, status: {podIP: 10.0.0.1}}',
    );
    expect(
      translatePod(pod, { mode: undefined, sameNode: undefined, accelerate: undefined }, meshConfig).problem,
    ).toMatchObject({
      field: 'spec.nodeName',
    });
  });
});

const asks = (metadata: string, ofNamespace?: string): string | undefined =>
  workload({ metadata }, 'ambient', ofNamespace).sameNode;
const annotated = (value: string): string => `annotations: {mesh-ebpf.io/same-node: ${value}}`;

describe('a pod asks for HBONE within its node', () => {
  it('by its annotation, or its namespace’s', () => {
    expect(asks(annotated('hbone'))).toBe('hbone');
    expect(asks('', 'hbone')).toBe('hbone');
    expect(asks('')).toBeUndefined();
  });

  it('unless its own annotation says otherwise', () => {
    expect(asks(annotated('kernel'), 'hbone')).toBeUndefined();
  });

  it('also when nobody knows what is written there', () => {
    expect(asks(annotated('fast'))).toBe('hbone');
  });
});

describe('connections of a pod may be accelerated', () => {
  it.each([
    [undefined, undefined, undefined],
    ['"true"', undefined, true],
    ['"false"', undefined, false],
    ['"yes"', undefined, false],
    [undefined, 'true', true],
    [undefined, 'false', false],
    ['"true"', 'false', true],
    ['"false"', 'true', false],
  ])('if its annotation says so: %s, or else its namespace’s: %s', (own, ofNamespace, expected) => {
    const metadata = own === undefined ? '' : `annotations: {mesh-ebpf.io/accelerate: ${own}}`;
    expect(workload({ metadata }, 'ambient', undefined, ofNamespace).accelerate).toBe(expected);
  });
});

it('is terminating from its deletion on', () => {
  expect(workload({ metadata: 'deletionTimestamp: "2026-01-01T00:00:00Z"' }).terminating).toBe(true);
});

it('takes the service account from the old field, and "default" without either', () => {
  expect(workload({ spec: 'serviceAccount: old' }).serviceAccount).toBe('old');
  expect(workload({ spec: 'serviceAccount: old, serviceAccountName: new' }).serviceAccount).toBe('new');
  expect(workload({}).identity).toBe('spiffe://cluster.local/ns/shop/sa/default');
});

it('names a manifest without a UID by namespace and name', () => {
  expect(workload({}).uid).toBe('shop/web-1');
});

const owned = (kind: string, name: string, labels = '', controller = true): string =>
  `labels: {${labels}}, ownerReferences: [{apiVersion: apps/v1, kind: ${kind}, name: ${name}, uid: u, controller: ${controller}}]`;

describe('the owner', () => {
  it.each([
    [
      'a Deployment, through its ReplicaSet',
      owned('ReplicaSet', 'web-5d4f8c', 'pod-template-hash: 5d4f8c'),
      'web',
      'deployment',
    ],
    ['a ReplicaSet that nobody owns', owned('ReplicaSet', 'web'), 'web', 'replicaset'],
    [
      'a ReplicaSet whose name does not end in the hash',
      owned('ReplicaSet', 'web', 'pod-template-hash: eb'),
      'web',
      'replicaset',
    ],
    ['a StatefulSet', owned('StatefulSet', 'db'), 'db', 'statefulset'],
    ['a Job', owned('Job', 'migrate'), 'migrate', 'job'],
    ['a CronJob, through its Job', owned('Job', 'backup-28912345'), 'backup', 'cronjob'],
    ['the pod itself if nothing controls it', owned('Node', 'node-a', '', false), 'web-1', 'pod'],
  ])('is %s', (_, metadata, name, kind) => {
    expect(workload({ metadata }).owner).toEqual({ name, kind });
  });
});
