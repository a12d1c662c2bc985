/** Objects for tests of `src/kube`, written as people write them. */
import { dedent } from './dedent.ts';
import type { KubeObject, Kind, ObjectOfKind, SourcedObject } from '../../../src/kube/objects.ts';
import { parseManifests } from '../../../src/kube/parse-manifests.ts';
import { formatProblem } from '../../../src/kube/problem.ts';

/** The objects in a manifest that must be in order. */
export function objectsIn(text: string, strict = true): readonly SourcedObject[] {
  const { objects, errors } = parseManifests([{ path: 'test.yaml', text: dedent(text) }], { strict });
  if (errors.length > 0) throw new Error(errors.map(formatProblem).join('\n'));
  return objects;
}

/** The one object of a kind in a manifest. */
export function objectIn<K extends Kind>(kind: K, text: string): SourcedObject<ObjectOfKind<K>> {
  const found = objectsIn(text).find((sourced): sourced is SourcedObject<ObjectOfKind<K>> =>
    isKind(sourced.object, kind),
  );
  if (found === undefined) throw new Error(`no ${kind} in the manifest`);
  return found;
}

const isKind = (object: KubeObject, kind: Kind): boolean => object.kind === kind;
