/** What every source of objects does, wherever it has them from. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { ObjectSource } from '../../../src/kube/source.ts';
import { Mirror, until } from './mirror.ts';

/** A world with namespaces in it, and a source that reads it. */
export interface SourceUnderTest {
  readonly source: ObjectSource;
  /** A label value that no label may have makes it faulty. */
  putNamespace(name: string, team: string): void;
  removeNamespace(name: string): void;
  close(): Promise<void>;
}

export function describeSourceContract(open: () => Promise<SourceUnderTest>): void {
  let world: SourceUnderTest;
  let mirror: Mirror;
  beforeEach(async () => {
    world = await open();
    mirror = new Mirror();
  });
  afterEach(async () => {
    world.source.stop();
    await world.close();
  });

  const teamOf = (name: string): string | undefined => mirror.label(`Namespace//${name}`, 'team');

  describe('at its start', () => {
    it('reports everything in one change', async () => {
      world.putNamespace('a', 'x');
      world.putNamespace('b', 'y');
      await world.source.start(mirror);
      expect(mirror.changes.length).toBe(1);
      expect(mirror.keys).toEqual(['Namespace//a', 'Namespace//b']);
    });

    it('reports that there is nothing', async () => {
      await world.source.start(mirror);
      expect(mirror.changes).toEqual([{ set: [], deleted: [] }]);
    });

    it('says that it is starting, and then that it is live and when it heard something', async () => {
      expect(world.source.status()).toMatchObject({ state: 'starting', lastEventAt: undefined });
      await world.source.start(mirror);
      expect(world.source.status()).toMatchObject({ state: 'live', conditions: [] });
      expect(Date.now() - (world.source.status().lastEventAt ?? 0)).toBeLessThan(60_000);
    });

    it('is started once', async () => {
      await world.source.start(mirror);
      await expect((async () => world.source.start(mirror))()).rejects.toThrow(/twice/);
    });
  });

  describe('as the world changes', () => {
    beforeEach(async () => {
      world.putNamespace('a', 'x');
      world.putNamespace('b', 'y');
      await world.source.start(mirror);
    });

    it('reports what is new, changed and gone, and nothing else', async () => {
      world.putNamespace('c', 'z');
      await until(() => teamOf('c') === 'z');
      world.putNamespace('a', 'changed');
      await until(() => teamOf('a') === 'changed');
      world.removeNamespace('b');
      await until(() => mirror.keys.join() === 'Namespace//a,Namespace//c');
      const reported = mirror.changes
        .slice(1)
        .map(({ set, deleted }) => [...set.map(({ object }) => object.metadata.name), ...deleted]);
      expect(reported).toEqual([['c'], ['a'], ['Namespace//b']]);
    });

    it('keeps the last good version of an object that became faulty, and says what is wrong', async () => {
      world.putNamespace('a', '-');
      await until(() => mirror.problems.length === 1);
      expect(mirror.problems[0]).toMatch(/namespace\/a: metadata\.labels\.team: expected a label value/);
      expect(teamOf('a')).toBe('x');
      world.putNamespace('a', 'mended');
      await until(() => teamOf('a') === 'mended' && mirror.problems.length === 0);
    });

    it('forgets a faulty object’s last good version with the object', async () => {
      world.putNamespace('a', '-');
      await until(() => mirror.problems.length === 1);
      world.removeNamespace('a');
      await until(() => mirror.keys.join() === 'Namespace//b' && mirror.problems.length === 0);
    });

    it('goes on when a sink throws', async () => {
      mirror.breaks = true;
      world.putNamespace('a', 'lost');
      await until(() => !mirror.breaks);
      world.putNamespace('b', 'next');
      await until(() => teamOf('b') === 'next');
    });

    it('reports nothing after it was stopped', async () => {
      world.source.stop();
      const { length } = mirror.changes;
      world.putNamespace('late', 'x');
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(mirror.changes.length).toBe(length);
    });
  });
}
