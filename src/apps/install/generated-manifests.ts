/** The definitions of the kinds, made from their schemas, as the files that kubectl applies. `make gen` writes them. */
import { stringify } from 'yaml';
import { securityCrds } from './crds.ts';
import type { Manifest } from './kustomize.ts';
import { namespaceAccessCrd } from './namespace-access-crd.ts';

/** By their place below `daemonset/`. */
export const generatedManifests = (): Readonly<Record<string, string>> => ({
  'base/namespace-access.yaml': textOf('src/kube/resources/namespace-access.ts: change that.', [
    namespaceAccessCrd(),
  ]),
  'crds/security.istio.io.yaml': textOf(
    'src/kube/resources/security.ts: change that. Not for clusters with Istio, which has its own.',
    securityCrds(),
  ),
});

const textOf = (source: string, definitions: readonly Manifest[]): string =>
  `# Made by \`make gen\` from ${source}\n` +
  definitions.map((each) => stringify(each, { lineWidth: 0, aliasDuplicateObjects: false })).join('---\n');
