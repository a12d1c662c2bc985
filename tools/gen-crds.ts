/** Writes `daemonset/crds/` from the schemas of `src/kube/resources`: `make gen`. A test compares the two. */
import { writeFileSync } from 'node:fs';
import { crdsFile, crdsText } from '../src/apps/install/crds-text.ts';

writeFileSync(new URL(`../daemonset/${crdsFile}`, import.meta.url), crdsText());
