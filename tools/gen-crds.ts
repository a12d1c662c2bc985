/** Writes the definitions of the kinds into `daemonset/`, from the schemas of `src/kube/resources`: `make gen`. A test compares. */
import { writeFileSync } from 'node:fs';
import { generatedManifests } from '../src/apps/install/generated-manifests.ts';

for (const [file, text] of Object.entries(generatedManifests())) {
  writeFileSync(new URL(`../daemonset/${file}`, import.meta.url), text);
}
