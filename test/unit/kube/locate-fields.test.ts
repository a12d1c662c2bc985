import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { fieldLocator } from '../../../src/kube/locate-fields.ts';
import { formatField, parseField } from '../../../src/kube/problem.ts';
import { dedent } from './dedent.ts';

describe('a field’s path as text', () => {
  it('is read back as the path that it was written from', () => {
    const step = fc.oneof(fc.nat({ max: 99 }), fc.stringMatching(/^[\w$-]+$/), fc.string({ minLength: 1 }));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 5 }), (path) => {
        expect(parseField(formatField(path))).toEqual(path);
      }),
    );
  });

  it('ends where it is none', () => {
    expect(parseField('spec.rules[0] and so on')).toEqual(['spec', 'rules', 0]);
  });
});

describe('the place of a field', () => {
  const text = dedent(`
    apiVersion: v1
    kind: List
    items:
      - apiVersion: security.istio.io/v1
        kind: AuthorizationPolicy
        metadata: {name: db, namespace: shop}
        spec:
          rules:
            - from:
                - source:
                    principals:
                      - a
                      - b
    ---
    kind: AuthorizationPolicy
    metadata: {name: other}
  `);
  const locate = fieldLocator([{ path: 'db.yaml', text }]);
  const db = { kind: 'AuthorizationPolicy', namespace: 'shop', name: 'db' };

  it('is found in the object, in a list as well', () => {
    const field = 'spec.rules[0].from[0].source.principals[1]';
    expect(locate(db, field)).toEqual({ file: 'db.yaml', line: 13, column: 21 });
  });

  it('is that of what is above it where it is not written', () => {
    expect(locate(db, 'spec.selector')).toMatchObject({ line: 8 });
    expect(locate({ kind: 'AuthorizationPolicy', namespace: 'default', name: 'other' }, '')).toMatchObject({
      line: 15,
    });
  });

  it('is not known of objects that are nowhere', () => {
    expect(locate({ ...db, name: 'nope' }, 'spec')).toBeUndefined();
  });
});
