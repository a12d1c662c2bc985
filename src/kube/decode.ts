/**
 * Checks a plain value against a kind's schema and copies out the fields the schema reads. It is our own walk over
 * the schema rather than a validator's, because it must name every fault where a person can find it (path, key or
 * value, what was expected, what was probably meant) and drop what nobody reads: a real Pod is mostly that.
 */
import type { TSchema } from 'typebox';
import type { FieldPath } from './problem.ts';
import { suggest } from './suggest.ts';

/** One thing that is wrong with a value. */
export interface Fault {
  readonly path: FieldPath;
  /** What to point at: the key itself (unknown or duplicate), or its value. */
  readonly at: 'key' | 'value';
  readonly message: string;
  readonly hint: string | undefined;
}

export interface DecodeOptions {
  /** Report fields the schema does not name; else they are dropped, as from an API newer than this code. */
  readonly strict: boolean;
}

/** `value` holds exactly the fields the schema reads; it is complete and of the schema's type if `faults` is empty. */
export interface Decoded {
  readonly value: unknown;
  readonly faults: readonly Fault[];
}

export function decode(schema: TSchema, value: unknown, options: DecodeOptions): Decoded {
  const faults: Fault[] = [];
  const decoded = walk(schema, value, { outer: undefined, step: '', nulls: 'absent', options, faults });
  return { value: decoded, faults };
}

/** The part of JSON Schema that the schemas in `resources` use. */
interface Shape {
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean';
  readonly description?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly required?: readonly string[];
  readonly patternProperties?: Readonly<Record<string, Shape>>;
  readonly items?: Shape;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly anyOf?: readonly Shape[];
  readonly enum?: readonly unknown[];
  readonly const?: string | number | boolean;
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  /** What `field: null` means here and below: not given, as in Kubernetes' own kinds, unless an error. */
  readonly nulls?: 'error';
  /** What to do with fields that have no name here, where they are no error: drop them, unless told. */
  readonly unknown?: 'keep';
}

/** Where a value is, as the way up from it: written out only when there is something to say of it. */
interface Context {
  /** Undefined: the value itself. */
  readonly outer: Context | undefined;
  /** From the outer value to this one. */
  readonly step: string | number;
  readonly nulls: 'absent' | 'error';
  readonly options: DecodeOptions;
  readonly faults: Fault[];
}

type JsonObject = Readonly<Record<string, unknown>>;

const inside = (outer: Context, step: string | number): Context => ({
  outer,
  step,
  nulls: outer.nulls,
  options: outer.options,
  faults: outer.faults,
});

const pathOf = ({ outer, step }: Context): FieldPath => (outer === undefined ? [] : [...pathOf(outer), step]);

function report(context: Context, message: string, hint?: string, at: Fault['at'] = 'value'): void {
  context.faults.push({ path: pathOf(context), at, message, hint });
}

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Most values are leaves that fit: nobody asks where they are. */
const walkInside = (shape: Shape, value: unknown, outer: Context, step: string | number): unknown =>
  accepts(shape, value) ? value : walk(shape, value, inside(outer, step));

function walk(shape: Shape, value: unknown, context: Context): unknown {
  if (shape.type === 'object' && isObject(value)) {
    return shape.properties === undefined
      ? walkMap(shape, value, context)
      : walkFields(shape, shape.properties, value, context);
  }
  if (shape.type === 'array' && Array.isArray(value)) return walkItems(shape, value, context);
  if (!accepts(shape, value)) {
    report(context, `expected ${describe(shape)}, found ${show(value)}`, hintFor(shape, value));
  }
  return value;
}

/** An object with named fields. */
function walkFields(
  shape: Shape,
  properties: Readonly<Record<string, Shape>>,
  value: JsonObject,
  outer: Context,
): JsonObject {
  const context = shape.nulls === undefined ? outer : { ...outer, nulls: shape.nulls };
  if (context.options.strict) reportUnknown(Object.keys(properties), value, context);
  const entries: [string, unknown][] = [];
  for (const [name, field] of Object.entries(properties)) {
    const given = Object.hasOwn(value, name) ? value[name] : undefined;
    const absent = given === undefined || (given === null && context.nulls === 'absent');
    if (!absent) {
      if (!isIgnored(field)) entries.push([name, walkInside(field, given, context, name)]);
    } else if (field.default !== undefined) {
      entries.push([name, field.default]);
    } else if (shape.required?.includes(name) === true) {
      report(context, `${name} is missing: expected ${describe(field)}`);
    }
  }
  if (shape.unknown === 'keep') entries.push(...unknownFields(Object.keys(properties), value));
  return Object.fromEntries(entries);
}

const unknownFields = (known: readonly string[], value: JsonObject): [string, unknown][] =>
  Object.entries(value).filter(([name]) => !known.includes(name));

function reportUnknown(known: readonly string[], value: JsonObject, context: Context): void {
  for (const name of Object.keys(value)) {
    if (known.includes(name)) continue;
    const meant = suggest(name, known);
    const hint = meant === undefined ? undefined : `did you mean ${meant}?`;
    report(inside(context, name), 'unknown field', hint, 'key');
  }
}

/** A map from any key that matches the one pattern to values of one type: labels. */
function walkMap(shape: Shape, value: JsonObject, context: Context): JsonObject {
  const [[pattern, item] = ['', {}]] = Object.entries<Shape>(shape.patternProperties ?? {});
  const keyPattern = compiled(pattern);
  const entries = Object.entries(value).map(([name, given]) => {
    if (!keyPattern.test(name)) {
      report(inside(context, name), 'the key is not a valid name', undefined, 'key');
    }
    return [name, walkInside(item, given, context, name)] as const;
  });
  return Object.fromEntries(entries);
}

function walkItems(shape: Shape, value: readonly unknown[], context: Context): readonly unknown[] {
  const { items = {}, minItems = 0, maxItems = Infinity } = shape;
  if (value.length < minItems) report(context, 'the list is empty: expected at least one item');
  if (value.length > maxItems) {
    report(context, `the list has ${value.length} items: at most ${maxItems} are allowed`);
  }
  return value.slice(0, maxItems).map((item, i) => walkInside(items, item, context, i));
}

/** `Type.Unknown()`: known, not read. */
const isIgnored = (shape: Shape): boolean => shape.type === undefined && !isChoice(shape);

const isChoice = ({ anyOf, enum: values, const: only }: Shape): boolean =>
  (anyOf ?? values ?? only) !== undefined;

/** Whether a leaf value fits. */
function accepts(shape: Shape, value: unknown): boolean {
  if (shape.anyOf !== undefined) return shape.anyOf.some((option) => accepts(option, value));
  if (shape.enum !== undefined) return shape.enum.includes(value);
  if (shape.const !== undefined) return value === shape.const;
  if (shape.type === undefined) return true;
  switch (shape.type) {
    case 'string':
      return typeof value === 'string' && stringFits(shape, value);
    case 'integer':
      return Number.isSafeInteger(value) && numberFits(shape, Number(value));
    case 'number':
      return typeof value === 'number' && numberFits(shape, value);
    case 'boolean':
      return typeof value === 'boolean';
    case 'object':
    case 'array':
      return false; // A value of these types was taken before.
  }
}

function stringFits({ minLength = 0, maxLength = Infinity, pattern }: Shape, value: string): boolean {
  if (value.length < minLength || value.length > maxLength) return false;
  return pattern === undefined || compiled(pattern).test(value);
}

const numberFits = ({ minimum = -Infinity, maximum = Infinity }: Shape, value: number): boolean =>
  value >= minimum && value <= maximum;

/** Patterns come from the schemas alone, so this holds a few dozen. */
const patterns = new Map<string, RegExp>();

function compiled(pattern: string): RegExp {
  const known = patterns.get(pattern);
  if (known !== undefined) return known;
  const created = new RegExp(pattern);
  patterns.set(pattern, created);
  return created;
}

const typeNames = {
  object: 'an object',
  array: 'a list',
  string: 'a string',
  integer: 'an integer',
  number: 'a number',
  boolean: 'true or false',
} as const;

function describe(shape: Shape): string {
  if (shape.description !== undefined) return shape.description;
  if (shape.anyOf !== undefined) return shape.anyOf.map(describe).join(' or ');
  if (shape.enum !== undefined) return `one of ${shape.enum.join(', ')}`;
  if (shape.const !== undefined) return String(shape.const);
  if (shape.type === undefined) return 'a value';
  if (shape.type === 'string' && shape.minLength === 1) return 'a string that is not empty';
  if (shape.type === 'integer' && shape.minimum !== undefined) return `an integer from ${shape.minimum} up`;
  return typeNames[shape.type];
}

/** The value as a person recognises it, shortened: input may be anything. */
function show(value: unknown): string {
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'an object';
  const text = JSON.stringify(value) ?? typeof value;
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}

/** The two mistakes YAML makes easy, quotes missing and quotes too many; else the nearest allowed word. */
function hintFor(shape: Shape, value: unknown): string | undefined {
  if (typeof value === 'number' || typeof value === 'boolean') {
    const quotable = shape.type === 'string' && accepts(shape, String(value));
    return quotable ? `put it in quotes: "${value}"` : undefined;
  }
  if (typeof value !== 'string') return undefined;
  if (/^\d+$/.test(value) && accepts(shape, Number(value))) return `leave out the quotes: ${value}`;
  if (shape.type === 'boolean' && /^(true|false)$/.test(value)) return `leave out the quotes: ${value}`;
  const words = (shape.enum ?? [shape.const]).filter((word) => typeof word === 'string');
  const meant = suggest(value, words);
  return meant === undefined ? undefined : `did you mean ${meant}?`;
}
