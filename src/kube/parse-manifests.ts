/**
 * Manifest files to objects: the pure half of every file source, used by the node's directory source and by the
 * lab. Every problem of every file is reported; an object with a problem is left out (of a kind that restricts, its
 * strictest reading takes its place), the others are returned.
 */
import { decode, type Fault } from './decode.ts';
import {
  isKind,
  type KubeObject,
  type Kind,
  kinds,
  objectKey,
  referenceTo,
  type SourcedObject,
} from './objects.ts';
import {
  type FieldPath,
  fileProblem,
  formatField,
  type ObjectReference,
  type Problem,
  type SourcePosition,
} from './problem.ts';
import { strictestReading } from './strictest.ts';
import { suggest } from './suggest.ts';
import { maxFileBytes, parseYaml, type YamlDocument } from './yaml-documents.ts';

export interface ManifestFile {
  /** As the reader knows it; appears in positions. */
  readonly path: string;
  readonly text: string;
}

export interface ManifestOptions {
  /** Report fields the kind does not have. True for what people write; false for what an API server sends. */
  readonly strict: boolean;
}

export interface ParsedManifests {
  readonly objects: readonly SourcedObject[];
  readonly errors: readonly Problem[];
}

/** A broken file can hold more faults than anybody reads; the rest is counted. */
const maxProblemsPerFile = 200;

/** An object of a kind that the mesh does not read, as it was written. */
export interface ForeignObject {
  readonly kind: string;
  readonly value: Readonly<Record<string, unknown>>;
  readonly position: SourcePosition;
}

export interface ManifestsAndOthers extends ParsedManifests {
  readonly foreign: readonly ForeignObject[];
}

/** Files that hold everything somebody deploys: what the mesh does not read is set apart, unless it looks like a misspelling. */
export function parseManifestsAndOthers(
  files: readonly ManifestFile[],
  options: ManifestOptions,
): ManifestsAndOthers {
  const foreign: ForeignObject[] = [];
  const parsed = files.map((file) => parseManifest(file, options, foreign));
  return { ...mergeManifests(parsed), foreign };
}

/** All objects of all files. Of two with one kind, namespace and name, the first in file order is kept. */
export function parseManifests(files: readonly ManifestFile[], options: ManifestOptions): ParsedManifests {
  return mergeManifests(files.map((file) => parseManifest(file, options)));
}

/** One file by itself. `foreign` takes what is of a kind that is not known; without it, that is an error. */
export function parseManifest(
  file: ManifestFile,
  options: ManifestOptions,
  foreign?: ForeignObject[],
): ParsedManifests {
  const { documents, problems } = parseYaml(file.path, file.text);
  const objects: SourcedObject[] = [];
  const errors: Problem[] = problems.map((problem) => ({ ...nothingKnown, ...problem }));
  for (const document of documents) {
    for (const { value, path } of itemsOf(document.value)) {
      if (foreign !== undefined && isForeign(value)) {
        foreign.push({ kind: String(value['kind']), value, position: document.locate(path, 'value') });
        continue;
      }
      const parsed = parseObject({ document, path }, value, options);
      if (parsed.object !== undefined) objects.push(parsed.object);
      errors.push(...parsed.errors);
    }
  }
  return { objects, errors: capped(file.path, errors) };
}

/** Joins parsed files, reporting names that are taken already with both places. */
export function mergeManifests(files: readonly ParsedManifests[]): ParsedManifests {
  const taken = new Map<string, SourcedObject>();
  const errors: Problem[] = files.flatMap((file) => file.errors);
  for (const sourced of files.flatMap((file) => file.objects)) {
    const key = objectKey(sourced.object);
    const first = taken.get(key);
    if (first === undefined) taken.set(key, sourced);
    else errors.push(duplicate(sourced, first));
  }
  return { objects: [...taken.values()], errors };
}

const nothingKnown = { severity: 'error', object: undefined, hint: undefined } as const;

function duplicate({ object, position }: SourcedObject, first: SourcedObject): Problem {
  const at = first.position;
  const where = at === undefined ? '' : ` in ${at.file}:${at.line}`;
  const message = `there is a ${object.kind} of this name already${where}`;
  return {
    severity: 'error',
    object: referenceTo(object),
    position,
    field: 'metadata.name',
    message,
    hint: undefined,
  };
}

interface Item {
  readonly value: unknown;
  readonly path: FieldPath;
}

/** The items of a `kind: List`, else the document itself. */
export function itemsOf(value: unknown): readonly Item[] {
  const isList = isRecord(value) && value['kind'] === 'List' && Array.isArray(value['items']);
  if (!isList) return [{ value, path: [] }];
  const items: readonly unknown[] = Array.isArray(value['items']) ? value['items'] : [];
  return items.map((item, i) => ({ value: item, path: ['items', i] }));
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Where in which document an object was written. */
interface Place {
  readonly document: YamlDocument;
  readonly path: FieldPath;
}

interface KnownReference extends ObjectReference {
  readonly kind: Kind;
}

interface ParsedObject {
  readonly object: SourcedObject | undefined;
  readonly errors: readonly Problem[];
}

function parseObject(place: Place, value: unknown, options: ManifestOptions): ParsedObject {
  const header = kindOf(value);
  const reference = looseReference(value);
  if (!('kind' in header)) return { object: undefined, errors: [asProblem(place, reference, header.fault)] };
  const { schema } = kinds[header.kind];
  const decoded = decode(schema, value, options);
  const position = place.document.locate(place.path, 'value');
  if (decoded.faults.length > 0) {
    const errors = decoded.faults.map((fault) => asProblem(place, reference, fault));
    const object =
      isRecord(value) && reference !== undefined ? strictest(reference, value, options) : undefined;
    return { object: object === undefined ? undefined : { object, position }, errors };
  }
  return { object: { object: decoded.value as KubeObject, position }, errors: [] };
}

const strictest = (
  reference: KnownReference,
  value: Readonly<Record<string, unknown>>,
  options: ManifestOptions,
): KubeObject | undefined =>
  strictestReading(reference, value, (candidate) => {
    const { value: read, faults } = decode(kinds[reference.kind].schema, candidate, options);
    return faults.length === 0 ? (read as KubeObject) : undefined;
  });

function asProblem({ document, path }: Place, object: ObjectReference | undefined, fault: Fault): Problem {
  const full = [...path, ...fault.path];
  const { message, hint } = fault;
  return {
    severity: 'error',
    object,
    position: document.locate(full, fault.at),
    field: formatField(full),
    message,
    hint,
  };
}

const headerFault = (path: FieldPath, message: string, hint?: string) =>
  ({ fault: { path, at: 'value', message, hint } }) as const;

/** The object's kind if it is one of ours in a version of ours. */
function kindOf(value: unknown): { readonly kind: Kind } | { readonly fault: Fault } {
  if (!isRecord(value)) return headerFault([], 'expected an object with apiVersion, kind and metadata');
  const { kind, apiVersion } = value;
  if (typeof kind !== 'string' || typeof apiVersion !== 'string') {
    return headerFault(
      [],
      `${typeof kind === 'string' ? 'apiVersion' : 'kind'} is missing: expected a Kubernetes object`,
    );
  }
  if (!isKind(kind)) {
    const meant = suggest(kind, Object.keys(kinds));
    const known = `known kinds: ${Object.keys(kinds).join(', ')}`;
    return headerFault(
      ['kind'],
      `unknown kind "${kind.slice(0, 80)}"`,
      meant === undefined ? known : `did you mean ${meant}?`,
    );
  }
  const { apiVersions } = kinds[kind];
  if (apiVersions.includes(apiVersion)) return { kind };
  const found = `expected ${apiVersions.join(' or ')} for a ${kind}, found "${apiVersion.slice(0, 80)}"`;
  return headerFault(['apiVersion'], found);
}

/** Kinds that are spelled much like one of ours, and are another. */
const lookalikes: ReadonlySet<string> = new Set(['RequestAuthentication']);

const groupOf = (apiVersion: string): string =>
  apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : '';

/** Well-formed, of somebody else's kind, and not what looks like a misspelling of ours. */
function isForeign(value: unknown): value is Readonly<Record<string, unknown>> {
  if (!isRecord(value)) return false;
  const { kind, apiVersion } = value;
  if (typeof kind !== 'string' || typeof apiVersion !== 'string') return false;
  if (lookalikes.has(kind)) return true;
  if (!isKind(kind)) {
    const meant = suggest(kind, Object.keys(kinds));
    return meant === undefined || !isKind(meant) || !kinds[meant].apiVersions.includes(apiVersion);
  }
  const groups = kinds[kind].apiVersions.map(groupOf);
  const group = groupOf(apiVersion);
  return group !== '' && !groups.includes(group) && suggest(group, groups) === undefined;
}

/** What a faulty object calls itself, for the message only. */
function looseReference(value: unknown): KnownReference | undefined {
  if (!isRecord(value) || !isRecord(value['metadata'])) return undefined;
  const { kind } = value;
  const { name, namespace } = value['metadata'];
  const isNamed = typeof kind === 'string' && isKind(kind) && typeof name === 'string' && name.length <= 253;
  if (!isNamed) return undefined;
  const given = typeof namespace === 'string' && namespace.length <= 63 ? namespace : 'default';
  return { kind, namespace: kinds[kind].namespaced ? given : '', name };
}

/** In the order of the text, the first ones in full. */
function capped(file: string, unordered: readonly Problem[]): readonly Problem[] {
  const errors = unordered.toSorted((a, b) => offset(a) - offset(b));
  const more = errors.length - maxProblemsPerFile;
  if (more <= 0) return errors;
  const rest = fileProblem(file, `${more} more problems in this file are not shown`);
  return [...errors.slice(0, maxProblemsPerFile), rest];
}

/** Orders positions within one file; no line is longer than a file may be. */
const offset = ({ position }: Problem): number =>
  position === undefined ? 0 : position.line * maxFileBytes + position.column;
