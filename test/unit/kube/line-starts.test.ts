import { expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { textPositions } from '../../../src/kube/line-starts.ts';

it('the position of any place is where one comes to by counting', () => {
  const text = fc.array(fc.constantFrom('a', '\n', '\r', '😀')).map((parts) => parts.join(''));
  fc.assert(
    fc.property(text, fc.nat({ max: 40 }), (given, offset) => {
      const before = given.slice(0, offset).split('\n');
      expect(textPositions(given)(offset)).toEqual({
        line: before.length,
        column: (before.at(-1) ?? '').length + 1,
      });
    }),
  );
});
