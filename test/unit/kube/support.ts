/** Objects for tests of `src/kube`, written as people write them; and a translator that is fed whole lists of them. */
import { dedent } from './dedent.ts';
import {
  isOfKind,
  type Kind,
  type ObjectKey,
  objectKey,
  type ObjectOfKind,
  type SourcedObject,
} from '../../../src/kube/objects.ts';
import { parseManifests } from '../../../src/kube/parse-manifests.ts';
import { formatProblem, type Problem } from '../../../src/kube/problem.ts';
import type { ObjectChange } from '../../../src/kube/source.ts';
import { Translator } from '../../../src/kube/translate/translator.ts';
import type { MeshState } from '../../../src/model/mesh.ts';
import { MeshStore } from '../../../src/model/store.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { meshConfig } from '../../support/mesh-builder.ts';

/** The objects in a manifest that must be in order. */
export function objectsIn(text: string, strict = true): readonly SourcedObject[] {
  const { objects, errors } = parseManifests([{ path: 'test.yaml', text: dedent(text) }], { strict });
  if (errors.length > 0) throw new Error(errors.map(formatProblem).join('\n'));
  return objects;
}

/** The one object of a kind in a manifest. */
export function objectIn<K extends Kind>(kind: K, text: string): SourcedObject<ObjectOfKind<K>> {
  const found = objectsIn(text).find((sourced) => isOfKind(sourced, kind));
  if (found === undefined) throw new Error(`no ${kind} in the manifest`);
  return found;
}

/** The change that leads from what is known to these objects. */
export function changeBetween(
  known: ReadonlyMap<ObjectKey, SourcedObject>,
  objects: readonly SourcedObject[],
): ObjectChange {
  const keys = new Set(objects.map(({ object }) => objectKey(object)));
  return {
    set: objects.filter((sourced) => known.get(objectKey(sourced.object)) !== sourced),
    deleted: [...known.keys()].filter((key) => !keys.has(key)),
  };
}

/** A translator and its store, told what changed from one list of objects to the next. */
export class FollowedMesh {
  readonly store = new MeshStore({ log: silentLogger }, meshConfig);
  readonly #translator = new Translator(meshConfig);
  #known: ReadonlyMap<ObjectKey, SourcedObject> = new Map();

  become(objects: readonly SourcedObject[]): {
    readonly state: MeshState;
    readonly problems: readonly Problem[];
  } {
    const change = changeBetween(this.#known, objects);
    this.#known = new Map(objects.map((sourced) => [objectKey(sourced.object), sourced]));
    this.store.apply(this.#translator.apply(change));
    const { workloads, services, policies, peerAuthentications, access } = this.store.view;
    return {
      state: {
        workloads: [...workloads.values()],
        services: [...services.values()],
        policies: [...policies.values()],
        peerAuthentications: [...peerAuthentications.values()],
        access: [...access.values()],
      },
      problems: this.#translator.problems,
    };
  }
}
