/** The definitions of `crds.ts` as the file that kubectl applies. */
import { stringify } from 'yaml';
import { securityCrds } from './crds.ts';

/** Below `daemonset/`. */
export const crdsFile = 'crds/security.istio.io.yaml';

const header =
  '# Made by `make gen` from src/kube/resources/security.ts: change that. Not for clusters with Istio, which has its own.\n';

export const crdsText = (): string =>
  header +
  securityCrds()
    .map((crd) => stringify(crd, { lineWidth: 0, aliasDuplicateObjects: false }))
    .join('---\n');
