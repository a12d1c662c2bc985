import { describe, expect, it } from '@jest/globals';
import { securityCrds } from '../../../../src/apps/install/crds.ts';
import { generatedManifests } from '../../../../src/apps/install/generated-manifests.ts';
import { kustomize } from '../../../../src/apps/install/kustomize.ts';
import { manifestFiles } from '../../../../src/apps/install/manifest-files.ts';

describe('the definitions of the policies’ kinds', () => {
  it('in daemonset are what the schemas make: run make gen', () => {
    expect(manifestFiles()).toMatchObject(generatedManifests());
    expect(kustomize(manifestFiles(), 'crds')).toEqual(securityCrds());
  });

  it('are no part of what kubectl applies for the mesh: Istio’s own would be overwritten', () => {
    const names = kustomize(manifestFiles(), 'base')
      .filter(({ kind }) => kind === 'CustomResourceDefinition')
      .map(({ metadata }) => metadata.name);
    expect(names).toEqual(['namespaceaccesses.mesh-ebpf.io']);
  });

  it('keep to what the API server takes as a schema', () => {
    const text = JSON.stringify(securityCrds());
    for (const foreign of ['patternProperties', '"nulls"', '"unknown"', 'anyOf'])
      expect(text).not.toContain(foreign);
    expect(text.match(/x-kubernetes-validations/g)).toHaveLength(8);
  });
});
