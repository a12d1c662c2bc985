import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import { decode } from '../../../src/kube/decode.ts';
import { kinds } from '../../../src/kube/objects.ts';

/** Values near what the schemas expect, with mistakes of every kind. */
const scalar = fc.constantFrom<unknown>(
  'web',
  'Web',
  '',
  '80',
  80,
  0,
  70000,
  1.5,
  true,
  null,
  'TCP',
  'ClusterIP',
  'v1',
  'x'.repeat(70),
);
const { value: anything } = fc.letrec((tie) => ({
  value: fc.oneof({ maxDepth: 4 }, scalar, fc.array(tie('value'), { maxLength: 3 }), tie('object')),
  object: fc.dictionary(
    fc.constantFrom(
      'name',
      'metadata',
      'spec',
      'ports',
      'port',
      'labels',
      'containers',
      'rules',
      'from',
      'other',
    ),
    tie('value'),
    { maxKeys: 4, noNullPrototype: true },
  ),
}));

describe('decoding by a schema', () => {
  it('finds no fault only in what the schema library accepts too', () => {
    const schemas = Object.entries(kinds);
    const input = fc.record({
      kind: fc.constantFrom(...schemas),
      metadata: fc.oneof(anything, fc.constant({ name: 'web' })),
      spec: fc.oneof(anything, fc.constant({ containers: [{ name: 'a' }] }), fc.constant({})),
      strict: fc.boolean(),
    });
    fc.assert(
      fc.property(input, ({ kind: [kind, { schema, apiVersions }], metadata, spec, strict }) => {
        const object = {
          apiVersion: apiVersions[0],
          kind,
          metadata,
          spec,
          addressType: 'IPv4',
          endpoints: [],
        };
        const { value, faults } = decode(schema, object, { strict });
        if (faults.length === 0) expect(Check(schema, value)).toBe(true);
        // Without nulls, defaults and unknown fields the library's word counts the other way too.
        const isComparable = !strict && !JSON.stringify(object).includes('null');
        if (faults.length > 0 && isComparable) expect(Check(schema, object)).toBe(false);
      }),
      { numRuns: 2000 },
    );
  });

  it('never changes what it is given, and reads its own results as they are', () => {
    const schema = Type.Object({
      ports: Type.Array(Type.Object({ port: Type.Integer() })),
      a: Type.String({ default: 'b' }),
    });
    const given = Object.freeze({ ports: Object.freeze([Object.freeze({ port: 80, extra: 1 })]) });
    const { value, faults } = decode(schema, given, { strict: false });
    expect({ value, faults }).toEqual({ value: { ports: [{ port: 80 }], a: 'b' }, faults: [] });
    expect(decode(schema, value, { strict: true })).toEqual({ value, faults: [] });
  });

  it('says how many items of a list are too many, and looks at no more of them', () => {
    const schema = Type.Array(Type.Integer(), { minItems: 1, maxItems: 2 });
    expect(decode(schema, [1, 2, 'x'], { strict: true }).faults).toEqual([
      { path: [], at: 'value', message: 'the list has 3 items: at most 2 are allowed', hint: undefined },
    ]);
    expect(decode(schema, [], { strict: true }).faults).toEqual([
      { path: [], at: 'value', message: 'the list is empty: expected at least one item', hint: undefined },
    ]);
  });

  it.each<[string, unknown, string]>([
    ['a long text shortened', 'x'.repeat(200), `found "${'x'.repeat(78)}…`],
    ['an object as such', { a: 1 }, 'found an object'],
    ['a list as such', [1], 'found a list'],
    ['nothing as such', null, 'found nothing'],
  ])('shows %s', (_, given, message) => {
    const [fault] = decode(Type.Integer(), given, { strict: true }).faults;
    expect(fault?.message).toBe(`expected an integer, ${message}`);
  });
});
