/** What the API server sends, before anything is known of it but that it is an object. Pure. */
import { ApiFailure } from './failure.ts';

export type RawObject = Readonly<Record<string, unknown>>;

const metadataOf = (object: RawObject): RawObject => (object['metadata'] ?? {}) as RawObject;

export const annotationsOf = (object: RawObject): RawObject =>
  (metadataOf(object)['annotations'] ?? {}) as RawObject;

/** @throws ApiFailure */
export function versionOf(object: RawObject): string {
  const version = metadataOf(object)['resourceVersion'];
  if (typeof version === 'string' && version !== '') return version;
  throw new ApiFailure('expired', 'the API server sent an object without a version');
}

/** Versions are numbers that grow, wherever there is etcd behind; others are not compared. */
export function isOlder(version: string, than: string): boolean {
  const isNumber = /^\d{1,19}$/;
  return isNumber.test(version) && isNumber.test(than) && BigInt(version) < BigInt(than);
}
