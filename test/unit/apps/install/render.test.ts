import { describe, expect, it } from '@jest/globals';
import { cleaningDaemonSet } from '../../../../src/apps/install/cleaning.ts';
import { kustomize, type Manifest } from '../../../../src/apps/install/kustomize.ts';
import { manifestFiles } from '../../../../src/apps/install/manifest-files.ts';
import { rolloutOf } from '../../../../src/apps/install/rollout.ts';
import { settings, withSettings } from '../../../../src/apps/install/settings.ts';

const base = kustomize(manifestFiles(), 'base');
const textOf = (manifests: readonly Manifest[], kind: string): string =>
  JSON.stringify(manifests.filter((manifest) => manifest.kind === kind));

const others = (all: readonly Manifest[]) => all.filter(({ kind }) => !/Deployment|DaemonSet/.test(kind));

describe('settings', () => {
  it('change what they say, in both programs where they are about both', () => {
    const changed = withSettings(base, [
      'image=r.example/m:2',
      'logLevel=debug',
      'trustDomain=td.example',
      'controller.replicas=3',
    ]);
    for (const kind of ['Deployment', 'DaemonSet']) {
      const text = textOf(changed, kind);
      expect(text).toContain('"image":"r.example/m:2"');
      expect(text).toContain('"--log-level=debug"');
      expect(text).not.toContain('--log-level=info');
      expect(text).toContain('{"name":"TRUST_DOMAIN","value":"td.example"}');
    }
    expect(textOf(changed, 'Deployment')).toContain('"replicas":3');
    expect(textOf(changed, 'DaemonSet')).not.toContain('"replicas"');
    expect(others(changed)).toEqual(others(base));
  });

  it('all change something', () => {
    const samples: Record<string, string> = {
      image: 'x/y:1',
      imagePullPolicy: 'Never',
      logLevel: 'debug',
      trustDomain: 'td.example',
      clusterDomain: 'c.example',
      clusterId: 'c-1',
      'node.liftMemlock': 'true',
      'node.clusterDns': '169.254.20.10',
      'node.sameNode': 'kernel',
      'node.accelerate': 'auto',
      'node.drainSeconds': '3',
      'controller.replicas': '5',
    };
    expect(Object.keys(samples)).toEqual(Object.keys(settings));
    for (const [key, value] of Object.entries(samples)) {
      expect(withSettings(base, [`${key}=${value}`])).not.toEqual(base);
    }
  });

  it.each([
    'imgae=x',
    'image',
    'image=',
    'image=a b',
    'logLevel=loud',
    'controller.replicas=0',
    'controller.replicas=1',
    'trustDomain=Not Valid',
    '__proto__=x',
    'toString=x',
  ])('like %s are refused before anything is asked of a cluster', (text) => {
    expect(() => withSettings(base, [text])).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/INVALID_ARGUMENT|IDENTITY_INVALID/) }),
    );
  });
});

describe('kustomization files', () => {
  it.each<[string, Record<string, string>, string]>([
    [
      'use what is not rendered here',
      { 'x/kustomization.yaml': 'resources: []\npatches: []' },
      'INVALID_MANIFEST',
    ],
    ['name a file that is not there', { 'x/kustomization.yaml': 'resources: [a.yaml]' }, 'NOT_FOUND'],
    ['are no YAML', { 'x/kustomization.yaml': 'resources: [' }, 'INVALID_MANIFEST'],
    [
      'hold an object without a name',
      { 'x/kustomization.yaml': 'resources: [a.yaml]', 'x/a.yaml': 'kind: Pod' },
      'INVALID_MANIFEST',
    ],
  ])('that %s are an error, and never half an installation', (_what, files, code) => {
    expect(() => kustomize(files, 'x')).toThrow(expect.objectContaining({ code }));
  });
});

describe('a rollout', () => {
  it.each([
    [
      'a DaemonSet on all nodes',
      'DaemonSet',
      { observedGeneration: 2, desiredNumberScheduled: 3, updatedNumberScheduled: 3, numberAvailable: 3 },
      true,
    ],
    [
      'a DaemonSet with an old pod',
      'DaemonSet',
      { observedGeneration: 2, desiredNumberScheduled: 3, updatedNumberScheduled: 2, numberAvailable: 3 },
      false,
    ],
    [
      'a DaemonSet with a pod that is not ready',
      'DaemonSet',
      { observedGeneration: 2, desiredNumberScheduled: 3, updatedNumberScheduled: 3, numberAvailable: 2 },
      false,
    ],
    [
      'what Kubernetes has not seen yet',
      'DaemonSet',
      { observedGeneration: 1, desiredNumberScheduled: 3, updatedNumberScheduled: 3, numberAvailable: 3 },
      false,
    ],
    [
      'a Deployment',
      'Deployment',
      { observedGeneration: 2, replicas: 2, updatedReplicas: 2, availableReplicas: 2 },
      true,
    ],
    [
      'a Deployment whose old pods still go',
      'Deployment',
      { observedGeneration: 2, replicas: 3, updatedReplicas: 2, availableReplicas: 2 },
      false,
    ],
  ])('of %s is done or not', (_what, kind, status, done) => {
    const metadata = { name: 'x', generation: 2 };
    expect(rolloutOf({ kind, metadata, spec: { replicas: 2 }, status }).done).toBe(done);
  });
});

describe('the DaemonSet that cleans', () => {
  const daemonSet = base.find(({ kind }) => kind === 'DaemonSet') as Manifest;
  const { template, updateStrategy } = cleaningDaemonSet(daemonSet)['spec'] as {
    readonly template: { readonly spec: Record<string, readonly Record<string, unknown>[]> };
    readonly updateStrategy: unknown;
  };

  it('uninstalls with the node program’s rights and mounts, and is ready only when that was verified', () => {
    const [cleaner] = template.spec['initContainers'] ?? [];
    const original = (daemonSet['spec'] as { template: typeof template }).template.spec['containers']?.[0];
    expect(cleaner).toMatchObject({
      args: ['uninstall', '--yes', '--verify'],
      image: original?.['image'],
      securityContext: original?.['securityContext'],
    });
    expect(template.spec['containers']).toMatchObject([{ command: ['sleep', 'infinity'] }]);
  });

  it('goes to all nodes at once, and waits for nothing of the controller', () => {
    expect(updateStrategy).toMatchObject({ rollingUpdate: { maxUnavailable: '100%' } });
    expect(JSON.stringify(template)).not.toMatch(
      /serviceAccountToken|mesh-ebpf-ca-root-cert|secrets\/mesh-ebpf\/(ca|token)",/,
    );
  });
});
