/**
 * The objects of one feed that are in force, with their faults. Whatever comes, an event or a whole list, it answers
 * with what is different now; an object that became faulty stays in its last good version (of some kinds something stands in for it if there is none). No IO.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Fault } from '../decode.ts';
import { type Kind, kinds, type ObjectKey, objectKey, type SourcedObject } from '../objects.ts';
import { formatField, type ObjectReference, type Problem } from '../problem.ts';
import type { ObjectChange } from '../source.ts';
import { strictestReading } from '../strictest.ts';
import { type Feed, keep } from './feed.ts';
import type { RawObject } from './raw-object.ts';

const nothing: ObjectChange = { set: [], deleted: [] };

type Faults = Map<ObjectKey, readonly Problem[]>;

interface List {
  readonly objects: Map<ObjectKey, SourcedObject>;
  readonly faults: Faults;
}

export class FeedObjects {
  readonly #feed: Feed;
  #objects = new Map<ObjectKey, SourcedObject>();
  #faults: Faults = new Map();
  /** A list under way: it replaces what is in force when it is complete. */
  #list: List | undefined;
  #revision = 0;

  constructor(feed: Feed) {
    this.#feed = feed;
  }

  get size(): number {
    return this.#objects.size;
  }

  /** Grows with every object that is set, deleted, or cannot be read. */
  get revision(): number {
    return this.#revision;
  }

  get(key: ObjectKey): SourcedObject | undefined {
    return this.#objects.get(key);
  }

  get problems(): readonly Problem[] {
    return [...this.#faults.values()].flat();
  }

  /** Takes over objects of an earlier process that were kept already. */
  seed(objects: readonly SourcedObject[]): void {
    for (const sourced of objects) this.#objects.set(objectKey(sourced.object), sourced);
  }

  set(raw: RawObject): ObjectChange {
    const key = keyOf(this.#feed.kind, raw);
    if (key === undefined) return nothing;
    const known = this.#objects.get(key);
    const sourced = this.#keep(key, raw, known, this.#faults);
    if (sourced === undefined || sourced === known) return nothing;
    this.#objects.set(key, sourced);
    return { set: [sourced], deleted: [] };
  }

  delete(raw: RawObject): ObjectChange {
    const key = keyOf(this.#feed.kind, raw);
    if (key === undefined) return nothing;
    this.#revision += 1;
    this.#faults.delete(key);
    return this.#objects.delete(key) ? { set: [], deleted: [key] } : nothing;
  }

  /** Nothing of a list counts until it is complete. */
  beginList(): void {
    this.#list = { objects: new Map(), faults: new Map() };
  }

  addToList(raw: RawObject): void {
    const key = keyOf(this.#feed.kind, raw);
    if (key === undefined || this.#list === undefined) return;
    const sourced = this.#keep(key, raw, this.#objects.get(key), this.#list.faults);
    if (sourced !== undefined) this.#list.objects.set(key, sourced);
  }

  removeFromList(raw: RawObject): void {
    const key = keyOf(this.#feed.kind, raw);
    if (key === undefined) return;
    this.#list?.objects.delete(key);
    this.#list?.faults.delete(key);
  }

  endList(): ObjectChange {
    const before = this.#objects;
    const { objects, faults } = this.#list ?? { objects: before, faults: this.#faults };
    this.#list = undefined;
    this.#revision += 1;
    this.#objects = objects;
    this.#faults = faults;
    return {
      set: [...objects].filter(([key, sourced]) => before.get(key) !== sourced).map(([, sourced]) => sourced),
      deleted: [...before.keys()].filter((key) => !objects.has(key)),
    };
  }

  /** The object to be in force: what is known, if nothing that is kept of it changed or it is faulty now. */
  #keep(
    key: ObjectKey,
    raw: RawObject,
    known: SourcedObject | undefined,
    faults: Faults,
  ): SourcedObject | undefined {
    const kept = keep(this.#feed, raw);
    if (kept.object === undefined) {
      const reference = referenceOf(this.#feed.kind, raw);
      this.#revision += 1;
      faults.set(key, faultProblems(reference, kept.faults));
      if (known !== undefined) return known;
      const strict = strictestReading(reference, raw, (candidate) => keep(this.#feed, candidate).object);
      return strict === undefined ? undefined : { object: strict, position: undefined };
    }
    faults.delete(key);
    const isSame = known !== undefined && isDeepStrictEqual(known.object, kept.object);
    if (isSame) return known;
    this.#revision += 1;
    return { object: kept.object, position: undefined };
  }
}

/** Why an object of the API cannot be read. */
export const faultProblems = (object: ObjectReference, faults: readonly Fault[]): readonly Problem[] =>
  faults.map(({ path, message, hint }) => ({
    severity: 'error',
    object,
    position: undefined,
    field: formatField(path),
    message,
    hint,
  }));

export function referenceOf<K extends Kind>(
  kind: K,
  { metadata }: RawObject,
): ObjectReference & { readonly kind: K } {
  const { name, namespace } = (metadata ?? {}) as Readonly<Record<string, unknown>>;
  return { kind, namespace: kinds[kind].namespaced ? nameIn(namespace) : '', name: nameIn(name) };
}

const nameIn = (value: unknown): string => (typeof value === 'string' ? value.slice(0, 253) : '');

/** undefined for something without a name: an API server has no such thing. */
function keyOf(kind: Kind, raw: RawObject): ObjectKey | undefined {
  const { namespace, name } = referenceOf(kind, raw);
  return name === '' ? undefined : (`${kind}/${namespace}/${name}` as ObjectKey);
}
