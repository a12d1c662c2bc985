import { describe, expect, it } from '@jest/globals';
import { suggest } from '../../../src/kube/suggest.ts';

describe('a suggestion', () => {
  const fields = ['nodeName', 'containers', 'hostNetwork', 'ports', 'port'];

  it.each([
    ['nodename', 'nodeName'],
    ['nodeNmae', 'nodeName'],
    ['container', 'containers'],
    ['hostNetwrok', 'hostNetwork'],
    ['potr', 'port'],
    ['portss', 'ports'],
  ])('for %s is %s', (typed, meant) => {
    expect(suggest(typed, fields)).toBe(meant);
  });

  it.each(['x', 'volumes', 'nn', ''])('is not made for %p, which resembles nothing', (typed) => {
    expect(suggest(typed, fields)).toBeUndefined();
  });
});
