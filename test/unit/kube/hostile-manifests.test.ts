import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { parseManifests } from '../../../src/kube/parse-manifests.ts';
import { formatProblem } from '../../../src/kube/problem.ts';

const parse = (text: string) => parseManifests([{ path: 'm.yaml', text }], { strict: true });

const problemsIn = (text: string): readonly string[] => parse(text).errors.map(formatProblem);

describe('input beyond bounds', () => {
  const bomb = Array.from({ length: 9 }, (_, i) =>
    i === 0
      ? 'a0: &a0 [x]'
      : `a${i}: &a${i} [${Array<string>(9)
          .fill(`*a${i - 1}`)
          .join(', ')}]`,
  ).join('\n');

  it.each([
    ['a file of more than 1 MiB', `# ${'x'.repeat(1024 * 1024)}`, /1048578 bytes: at most 1048576 are read/],
    ['more than 1000 documents', '---\na: b\n'.repeat(1001), /more than 1000 documents/],
    ['anchors that expand without end', bomb, /alias/],
    ['an anchor inside itself', 'a: &a [*a]', /expected a Kubernetes object|kind is missing/],
    ['lists nested 20000 deep', '['.repeat(20_000), /nested too deeply/],
    ['block lists nested 20000 deep', '- '.repeat(20_000), /nested too deeply/],
    ['maps nested 20000 deep', '{a: '.repeat(20_000), /nested too deeply/],
  ])('ends with a problem, not with a crash: %s', (_, text, message) => {
    const problems = problemsIn(text);
    expect(problems.length).toBeGreaterThan(0);
    expect(problems.join('\n')).toMatch(message);
  });

  it('counts the problems of a file beyond the first 200', () => {
    const items = Array.from({ length: 300 }, () => '- {apiVersion: v1, kind: Nonsense}').join('\n');
    const problems = problemsIn(`apiVersion: v1\nkind: List\nitems:\n${items}`);
    expect(problems).toHaveLength(201);
    expect(problems.at(-1)).toBe('m.yaml:1:1: 100 more problems in this file are not shown');
  });

  it('is not fooled by keys that objects inherit', () => {
    const text =
      '{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a", "labels": {"__proto__": "x", "constructor": "y"}}}';
    const { objects, errors } = parse(text);
    expect(errors.map(formatProblem)).toEqual([expect.stringMatching(/the key is not a valid name/)]);
    expect(objects).toEqual([]);
    expect(Object.getPrototypeOf({})).toBe(Object.prototype);
  });

  it('never throws, and points into the text, whatever the text', () => {
    const pieces = [
      'apiVersion: v1',
      'kind: Pod',
      'kind: List',
      'items:',
      'metadata:',
      'name: a',
      'spec:',
      '- ',
      '  ',
      '\n',
      '\n---\n',
      '{',
      '}',
      '[',
      ']',
      ': ',
      ',',
      '"',
      "'",
      '&a ',
      '*a',
      '<<: *a',
      '|',
      '!!str ',
      '? ',
      '%YAML 1.1',
      '#',
      '\t',
      'null',
      '\u0000',
      '😀',
    ];
    const text = fc.array(
      fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...pieces) }, fc.string({ maxLength: 4 })),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(text, fc.boolean(), (parts, strict) => {
        const given = parts.join('');
        const lines = given.split('\n');
        const { objects, errors } = parseManifests([{ path: 'm.yaml', text: given }], { strict });
        for (const { position } of [...objects, ...errors]) {
          expect(position?.line).toBeGreaterThanOrEqual(1);
          expect(position?.line).toBeLessThanOrEqual(lines.length);
          expect(position?.column).toBeGreaterThanOrEqual(1);
          expect(position?.column).toBeLessThanOrEqual((lines[(position?.line ?? 0) - 1] ?? '').length + 1);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
