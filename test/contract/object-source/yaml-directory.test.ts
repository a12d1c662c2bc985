import { mkdtempSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe } from '@jest/globals';
import { systemClock } from '../../../src/base/clock.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { YamlDirectory } from '../../../src/kube/yaml-directory.ts';
import { describeSourceContract } from './source-contract.ts';

describe('a directory of manifests', () => {
  describeSourceContract(() => {
    const directory = mkdtempSync(join(tmpdir(), 'mesh-ebpf-source-'));
    const file = (name: string): string => join(directory, `${name}.yaml`);
    return Promise.resolve({
      source: new YamlDirectory({ clock: systemClock, log: silentLogger }, { path: directory }),
      putNamespace(name, team) {
        const staged = join(directory, '.staged');
        writeFileSync(
          staged,
          `{apiVersion: v1, kind: Namespace, metadata: {name: ${name}, labels: {team: "${team}"}}}`,
        );
        renameSync(staged, file(name));
      },
      removeNamespace: (name) => unlinkSync(file(name)),
      close: () => Promise.resolve(rmSync(directory, { recursive: true, force: true })),
    });
  });
});
