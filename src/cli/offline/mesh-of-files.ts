/** The mesh that a cluster would have with the objects in some files, read by the code by which a node reads them. */
import { MeshError } from '../../base/errors.ts';
import { silentLogger } from '../../base/log.ts';
import { isOfKind, type SourcedObject } from '../../kube/objects.ts';
import {
  type ForeignObject,
  type ManifestFile,
  mergeManifests,
  parseManifestsAndOthers,
} from '../../kube/parse-manifests.ts';
import { formatProblem, type Problem } from '../../kube/problem.ts';
import { Translator } from '../../kube/translate/translator.ts';
import { dataplaneModeLabel } from '../../kube/translate/workload.ts';
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

/** The same, of files that need not be in order. */
export interface MeshInFiles {
  readonly view: MeshView;
  readonly objects: readonly SourcedObject[];
  /** What could not be read, and what not translated. */
  readonly problems: readonly Problem[];
  /** Of kinds that the mesh does not read, and that make no pods. */
  readonly foreign: readonly ForeignObject[];
  /** Pods that got an address. */
  readonly madeUp: number;
}

/** Pure. @throws MeshError INVALID_MANIFEST with every problem of every file, a line each */
export function meshOfFiles(files: readonly ManifestFile[], config: MeshConfig): MeshOfFiles {
  const { view, objects, problems, foreign, madeUp } = meshInFiles(files, config);
  const [errors, warnings] = [problems.filter(isError), problems.filter((problem) => !isError(problem))];
  if (errors.length > 0) throw new MeshError('INVALID_MANIFEST', errors.map(formatProblem).join('\n'));
  return {
    view,
    notes: [
      ...warnings.map(formatProblem),
      ...(madeUp === 0
        ? []
        : [
            `the files give no address of ${madeUp} pods: theirs are made up (${madeUpBlock}), and so is what ipBlocks say of them`,
          ]),
      ...unknownNamespaces(objects),
      ...leftAside(foreign),
    ],
  };
}

/** What is not in order is left out, or as strict as a node would make it. Pure. */
export function meshInFiles(files: readonly ManifestFile[], config: MeshConfig): MeshInFiles {
  const { objects: written, errors, foreign } = parseManifestsAndOthers(files, { strict: true });
  const templates = foreign.filter(hasTemplate).map(podOf);
  const wrong = templates.flatMap((each) => ('problem' in each ? each.problem : []));
  const made = templates.flatMap((each): SourcedObject[] => ('problem' in each ? [] : [each]));
  const merged = mergeManifests([{ objects: [...written, ...made], errors: [] }]);
  const { objects, madeUp } = complete(merged.objects);
  const store = new MeshStore({ log: silentLogger }, config);
  const translator = new Translator(config);
  store.apply(translator.apply({ set: objects, deleted: [] }));
  return {
    view: store.view,
    objects,
    problems: [...errors, ...wrong, ...merged.errors, ...translator.problems],
    foreign: foreign.filter((each) => !hasTemplate(each)),
    madeUp,
  };
}

const isError = ({ severity }: Problem): boolean => severity === 'error';

/** Without its label nobody can tell whether a namespace is in the mesh: its pods count as outside. */
function unknownNamespaces(objects: readonly SourcedObject[]): readonly string[] {
  const known = new Set(
    objects.flatMap((sourced) => (isOfKind(sourced, 'Namespace') ? sourced.object.metadata.name : [])),
  );
  const used = objects.flatMap((sourced) =>
    isOfKind(sourced, 'Pod') && sourced.object.metadata.labels?.[dataplaneModeLabel] === undefined
      ? sourced.object.metadata.namespace
      : [],
  );
  const unknown = [...new Set(used)].filter((namespace) => !known.has(namespace)).toSorted();
  if (unknown.length === 0) return [];
  const label = `${dataplaneModeLabel}=ambient`;
  return [
    `not in the files: namespace ${unknown.join(', ')}; its pods count as outside of the mesh (label ${label})`,
  ];
}

/** What of the files has no meaning for the mesh, if anything. */
export function leftAside(foreign: readonly ForeignObject[]): readonly string[] {
  if (foreign.length === 0) return [];
  const kinds = [...Map.groupBy(foreign, ({ kind }) => kind)].map(
    ([kind, { length }]) => `${length} ${kind}`,
  );
  return [`of no meaning for the mesh: ${kinds.join(', ')}`];
}
