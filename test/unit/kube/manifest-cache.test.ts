import { describe, expect, it } from '@jest/globals';
import { ManifestCache } from '../../../src/kube/manifest-cache.ts';
import { formatProblem } from '../../../src/kube/problem.ts';

const namespace = (name: string, team = 'a'): string =>
  `{apiVersion: v1, kind: Namespace, metadata: {name: ${name}, labels: {team: ${team}}}}`;

const broken = 'kind: [';

const inForce = (cache: ManifestCache): readonly string[] =>
  cache.merged().objects.map(({ object }) => `${object.metadata.name}:${object.metadata.labels?.['team']}`);

const problems = (cache: ManifestCache): readonly string[] => cache.merged().errors.map(formatProblem);

describe('the manifest cache', () => {
  it('gives the objects of all files in order of their paths', () => {
    const cache = new ManifestCache();
    cache.set('b.yaml', namespace('b'));
    cache.set('a.yaml', namespace('a'));
    expect(inForce(cache)).toEqual(['a:a', 'b:a']);
  });

  it('parses a text once: unchanged files keep their very objects', () => {
    const cache = new ManifestCache();
    cache.set('a.yaml', namespace('a'));
    cache.set('b.yaml', namespace('b'));
    const [before] = cache.merged().objects;
    expect(cache.set('a.yaml', namespace('a'))).toBe(false);
    expect(cache.set('b.yaml', namespace('b', 'new'))).toBe(true);
    expect(cache.merged().objects[0]).toBe(before);
  });

  it('keeps the last good objects of a file while it is broken, through any number of attempts', () => {
    const cache = new ManifestCache();
    cache.set('a.yaml', namespace('a'));
    cache.set('a.yaml', broken);
    cache.set('a.yaml', `${namespace('a', 'newer')}\n---\n${broken}`);
    expect(inForce(cache)).toEqual(['a:a']);
    expect(problems(cache)).toHaveLength(1);
    cache.set('a.yaml', namespace('a', 'mended'));
    expect(inForce(cache)).toEqual(['a:mended']);
    expect(problems(cache)).toEqual([]);
  });

  it('gives the good objects of a file that was never good', () => {
    const cache = new ManifestCache();
    cache.set('a.yaml', `${namespace('a')}\n---\n${broken}`);
    expect(inForce(cache)).toEqual(['a:a']);
    cache.set('a.yaml', `${namespace('a', 'newer')}\n---\n${broken}`);
    expect(inForce(cache)).toEqual(['a:newer']);
  });

  it('takes the objects of a file out when it goes, broken or not', () => {
    const cache = new ManifestCache();
    cache.set('a.yaml', namespace('a'));
    cache.set('a.yaml', broken);
    expect(cache.delete('a.yaml')).toBe(true);
    expect(cache.delete('a.yaml')).toBe(false);
    expect([inForce(cache), problems(cache)]).toEqual([[], []]);
  });

  it('prefers an object’s new place to the stale one in a broken file', () => {
    const cache = new ManifestCache();
    cache.set('a.yaml', `${namespace('moved', 'old')}\n---\n${namespace('stays')}`);
    cache.set('a.yaml', broken);
    cache.set('z.yaml', namespace('moved', 'new'));
    expect(inForce(cache).toSorted()).toEqual(['moved:new', 'stays:a']);
    expect(problems(cache)).toHaveLength(1);
  });

  it('keeps what is in force when a file cannot be read, and says so once', () => {
    const cache = new ManifestCache();
    cache.set('a.yaml', namespace('a'));
    expect(cache.setUnreadable('a.yaml', 'no permission')).toBe(true);
    expect(cache.setUnreadable('a.yaml', 'no permission')).toBe(false);
    expect(inForce(cache)).toEqual(['a:a']);
    expect(problems(cache)).toEqual(['a.yaml:1:1: no permission']);
    expect(cache.set('a.yaml', namespace('a'))).toBe(true);
    expect(problems(cache)).toEqual([]);
  });
});
