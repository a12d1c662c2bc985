/** The lab's objects as values: the state of the store, a change of it, and what a file is called. Pure. */
import type { KubeObject } from '../../kube/objects.ts';
import { namespaceOf } from '../../kube/objects.ts';

/** All objects by `objectKey`. */
export type Objects = ReadonlyMap<string, KubeObject>;

export interface Changes {
  readonly write: readonly KubeObject[];
  readonly remove: readonly KubeObject[];
}

export const noChanges: Changes = { write: [], remove: [] };

export type OfKind<K extends KubeObject['kind']> = Extract<KubeObject, { readonly kind: K }>;

export const objectsOfKind = <K extends KubeObject['kind']>(objects: Objects, kind: K): OfKind<K>[] =>
  [...objects.values()].filter((object): object is OfKind<K> => object.kind === kind);

/** `pod_shop_web.yaml`, `namespace_shop.yaml`: no name holds an underscore, so no two objects share a file. */
export function objectFileName(object: KubeObject): string {
  const parts = [object.kind.toLowerCase(), namespaceOf(object), object.metadata.name];
  return `${parts.filter((part) => part !== '').join('_')}.yaml`;
}
