/** Our schemas as a CustomResourceDefinition has them: every value with its type, no patterns for keys, CEL for the rest. Pure. */

export type Schema = Readonly<Record<string, unknown>>;

export interface Validation {
  readonly message: string;
  readonly rule: string;
}

/** What the schema cannot say, by its path: `''` for the schema itself, `rules[].from[].source`, `labels.*`. */
export type Validations = Readonly<Record<string, readonly Validation[]>>;

/** A JSON schema in the part of it that the API server takes. */
export function structural(schema: Schema, validations: Validations, path = ''): Schema {
  const rules = validations[path];
  return {
    ...body(schema, validations, path),
    ...(rules === undefined ? {} : { 'x-kubernetes-validations': rules }),
  };
}

function body(schema: Schema, validations: Validations, path: string): Schema {
  const { properties, patternProperties, items, required, type = 'string' } = schema;
  const step = (name: string): string => (path === '' ? name : `${path}.${name}`);
  if (properties !== undefined) {
    const fields = Object.entries(properties as Readonly<Record<string, Schema>>);
    return {
      type: 'object',
      ...(required === undefined || (required as readonly string[]).length === 0 ? {} : { required }),
      properties: Object.fromEntries(
        fields.map(([name, field]) => [name, structural(field, validations, step(name))]),
      ),
    };
  }
  if (patternProperties !== undefined) {
    const [value = {}] = Object.values(patternProperties as Readonly<Record<string, Schema>>);
    return { type: 'object', additionalProperties: structural(value, validations, step('*')) };
  }
  if (items !== undefined) {
    return { type, ...limits(schema), items: structural(items as Schema, validations, `${path}[]`) };
  }
  return { type, ...limits(schema) };
}

const kept = 'enum const description pattern minLength maxLength minItems maxItems minimum maximum'.split(
  ' ',
);

const limits = (schema: Schema): Schema =>
  Object.fromEntries(Object.entries(schema).filter(([name]) => kept.includes(name)));
