/** The mesh that a cluster would have with the objects in some files, read by the code by which a node reads them. */
import { MeshError } from '../../base/errors.ts';
import { silentLogger } from '../../base/log.ts';
import type { SourcedObject } from '../../kube/objects.ts';
import {
  type ForeignObject,
  type ManifestFile,
  mergeManifests,
  parseManifestsAndOthers,
} from '../../kube/parse-manifests.ts';
import { formatProblem, type Problem } from '../../kube/problem.ts';
import { Translator } from '../../kube/translate/translator.ts';
import type { MeshConfig } from '../../model/mesh.ts';
import { MeshStore } from '../../model/store.ts';
import type { MeshView } from '../../model/view.ts';
import { complete, madeUpBlock } from './complete.ts';
import { hasTemplate, podOf } from './pod-templates.ts';

export interface MeshOfFiles {
  readonly view: MeshView;
  /** What the reader should know: what was made up, what was left aside. */
  readonly notes: readonly string[];
}

/** Pure. @throws MeshError INVALID_MANIFEST with every problem of every file, a line each */
export function meshOfFiles(files: readonly ManifestFile[], config: MeshConfig): MeshOfFiles {
  const { objects: written, errors, foreign } = parseManifestsAndOthers(files, { strict: true });
  const templates = foreign.filter(hasTemplate).map(podOf);
  const wrong = templates.flatMap((each) => ('problem' in each ? each.problem : []));
  const made = templates.flatMap((each): SourcedObject[] => ('problem' in each ? [] : [each]));
  const merged = mergeManifests([{ objects: [...written, ...made], errors: [] }]);
  refuseErrors([...errors, ...wrong, ...merged.errors]);
  const { objects, madeUp } = complete(merged.objects);
  const store = new MeshStore({ log: silentLogger }, config);
  const translator = new Translator(config);
  store.apply(translator.apply({ set: objects, deleted: [] }));
  refuseErrors(translator.problems);
  return {
    view: store.view,
    notes: [
      ...translator.problems.map(formatProblem),
      ...(madeUp === 0
        ? []
        : [
            `the files give no address of ${madeUp} pods: theirs are made up (${madeUpBlock}), and so is what ipBlocks say of them`,
          ]),
      ...leftAside(foreign.filter((each) => !hasTemplate(each))),
    ],
  };
}

function leftAside(foreign: readonly ForeignObject[]): readonly string[] {
  if (foreign.length === 0) return [];
  const kinds = [...Map.groupBy(foreign, ({ kind }) => kind)].map(
    ([kind, { length }]) => `${length} ${kind}`,
  );
  return [`of no meaning for the mesh: ${kinds.join(', ')}`];
}

function refuseErrors(problems: readonly Problem[]): void {
  const errors = problems.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) throw new MeshError('INVALID_MANIFEST', errors.map(formatProblem).join('\n'));
}
