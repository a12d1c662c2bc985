import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../../src/base/clock.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { type ObjectKey, objectKey, type SourcedObject } from '../../../src/kube/objects.ts';
import { formatProblem } from '../../../src/kube/problem.ts';
import type { ObjectChange } from '../../../src/kube/source.ts';
import { YamlDirectory } from '../../../src/kube/yaml-directory.ts';
import { FakeClock, flushPromises } from '../../support/fake-clock.ts';

const namespace = (name: string, team = 'a'): string =>
  `{apiVersion: v1, kind: Namespace, metadata: {name: ${name}, labels: {team: ${team}}}}`;

let directory: string;
const sources: YamlDirectory[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mesh-ebpf-kube-'));
});

afterEach(() => {
  for (const source of sources.splice(0)) source.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** What a source last reported, and a bounded wait for a report that satisfies a condition. */
class Reports {
  readonly #objects = new Map<ObjectKey, SourcedObject>();
  errors: readonly string[] = [];
  count = 0;
  #waiting: (() => void)[] = [];

  get names(): readonly string[] {
    return this.objects.map(({ object }) => `${object.metadata.name}:${object.metadata.labels?.['team']}`);
  }

  get objects(): readonly SourcedObject[] {
    return [...this.#objects].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, sourced]) => sourced);
  }

  take({ set, deleted }: ObjectChange): void {
    deleted.forEach((key) => this.#objects.delete(key));
    set.forEach((sourced) => this.#objects.set(objectKey(sourced.object), sourced));
    this.note();
  }

  note(): void {
    this.count++;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async until(condition: () => boolean): Promise<void> {
    const deadline = Date.now() + 5000;
    while (!condition()) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.push(resolve);
      const timer = setTimeout(resolve, Math.max(0, deadline - Date.now()));
      await promise;
      clearTimeout(timer);
      if (Date.now() >= deadline) throw new Error(`not reported in time; last: ${this.names.join(' ')}`);
    }
  }
}

async function follow(clock = systemClock): Promise<{ source: YamlDirectory; reports: Reports }> {
  const source = new YamlDirectory({ clock, log: silentLogger }, { path: directory });
  sources.push(source);
  const reports = new Reports();
  await source.start({
    changed: (change) => reports.take(change),
    faulty: (problems) => {
      reports.errors = problems.map(formatProblem);
    },
  });
  return { source, reports };
}

const path = (name: string): string => join(directory, name);

const write = (name: string, text: string): void => writeFileSync(path(name), text);

/** As a careful writer does. */
function replace(name: string, text: string): void {
  write('.staged', text);
  renameSync(path('.staged'), path(name));
}

describe('a directory of manifests', () => {
  it('has been read when the source has started', async () => {
    write('a.yaml', namespace('a'));
    write('b.yml', namespace('b'));
    write('c.json', JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'c' } }));
    const { reports } = await follow();
    expect(reports.names).toEqual(['a:a', 'b:a', 'c:undefined']);
    expect(reports.count).toBe(1);
  });

  it('is followed as files appear, change, are replaced, renamed and removed', async () => {
    const { reports } = await follow();
    expect(reports.names).toEqual([]);
    write('a.yaml', namespace('a'));
    await reports.until(() => reports.names.join() === 'a:a');
    replace('a.yaml', namespace('a', 'replaced'));
    await reports.until(() => reports.names.join() === 'a:replaced');
    write('a.yaml', namespace('a', 'rewritten'));
    await reports.until(() => reports.names.join() === 'a:rewritten');
    renameSync(path('a.yaml'), path('z.yaml'));
    await reports.until(() => reports.objects[0]?.position?.file === path('z.yaml'));
    expect(reports.names).toEqual(['a:rewritten']);
    unlinkSync(path('z.yaml'));
    await reports.until(() => reports.names.length === 0);
  });

  it('keeps a broken file’s last good objects, with its problems, until it is mended', async () => {
    write('a.yaml', namespace('a'));
    const { reports } = await follow();
    write('a.yaml', `${namespace('a', 'next')}\n---\n{apiVersion: v1, kind: Namespac}`);
    write('b.yaml', namespace('b'));
    await reports.until(() => reports.names.length === 2 && reports.errors.length === 1);
    expect(reports.names.toSorted()).toEqual(['a:a', 'b:a']);
    expect(reports.errors).toEqual([
      `${path('a.yaml')}:3:24: kind: unknown kind "Namespac" (did you mean Namespace?)`,
    ]);
    write('a.yaml', namespace('a', 'mended'));
    await reports.until(() => reports.errors.length === 0);
    expect(reports.names).toEqual(['a:mended', 'b:a']);
  });

  it('takes no notice of dotfiles, editors’ files, other files, directories and pipes', async () => {
    write('a.yaml', namespace('a'));
    write('.hidden.yaml', namespace('hidden'));
    write('a.yaml~', namespace('backup'));
    write('#a.yaml', namespace('lock'));
    write('.a.yaml.swp', 'binary');
    write('README.md', 'text');
    mkdirSync(path('directory.yaml'));
    execFileSync('mkfifo', [path('pipe.yaml')]);
    const { reports } = await follow();
    expect([reports.names, reports.errors]).toEqual([['a:a'], []]);
  });

  it('keeps the very objects of files that did not change', async () => {
    write('a.yaml', namespace('a'));
    write('b.yaml', namespace('b'));
    const { reports } = await follow();
    const [before] = reports.objects;
    write('b.yaml', namespace('b', 'new'));
    await reports.until(() => reports.names.includes('b:new'));
    expect(reports.objects[0]).toBe(before);
  });

  it('takes many changes together', async () => {
    const { reports } = await follow();
    for (let i = 0; i < 100; i++) replace(`n${i}.yaml`, namespace(`n${i}`));
    await reports.until(() => reports.names.length === 100);
    expect(reports.count).toBeLessThan(20);
  });

  it('reports nothing after it was stopped', async () => {
    const { source, reports } = await follow();
    write('a.yaml', namespace('a'));
    source.stop();
    const other = await follow();
    write('b.yaml', namespace('b'));
    await other.reports.until(() => other.reports.names.length === 2);
    expect(reports.count).toBe(1);
  });

  it('refuses to start where there is no directory', async () => {
    rmSync(directory, { recursive: true });
    await expect(follow()).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('names files that are too large or not UTF-8', async () => {
    write('big.yaml', `# ${'x'.repeat(1024 * 1024)}`);
    writeFileSync(path('bytes.yaml'), Buffer.from([0x61, 0xff, 0xfe]));
    const { reports } = await follow();
    expect(reports.errors).toEqual([
      `${path('big.yaml')}:1:1: the file has 1048578 bytes: at most 1048576 are read`,
      `${path('bytes.yaml')}:1:1: the file is not UTF-8`,
    ]);
  });
});

/** Lets the rescan happen, and waits until it has planned the next one: then it is over. */
async function rescan(clock: FakeClock): Promise<void> {
  await clock.advance(10_000);
  const deadline = Date.now() + 5000;
  while (clock.nextDelay === undefined && Date.now() < deadline) await flushPromises();
  expect(clock.nextDelay).toBe(10_000);
}

describe('the rescan', () => {
  it('keeps everything in force while the directory is away, and follows it when it is back', async () => {
    const clock = new FakeClock();
    write('a.yaml', namespace('a'));
    const { reports } = await follow(clock);
    renameSync(directory, `${directory}.away`);
    await rescan(clock);
    await reports.until(() => reports.errors.length === 1);
    expect(reports.names).toEqual(['a:a']);
    expect(reports.errors[0]).toContain('the directory cannot be read');
    mkdirSync(directory);
    rmSync(`${directory}.away`, { recursive: true });
    write('b.yaml', namespace('b'));
    await rescan(clock);
    await reports.until(() => reports.errors.length === 0);
    expect(reports.names).toEqual(['b:a']);
  });

  it('finds changes of which no event told, through a link', async () => {
    const clock = new FakeClock();
    const elsewhere = mkdtempSync(join(tmpdir(), 'mesh-ebpf-kube-target-'));
    writeFileSync(join(elsewhere, 'real'), namespace('a'));
    execFileSync('ln', ['-s', join(elsewhere, 'real'), path('a.yaml')]);
    const { reports } = await follow(clock);
    writeFileSync(join(elsewhere, 'real'), namespace('a', 'changed-behind-the-link'));
    await rescan(clock);
    await reports.until(() => reports.names.join() === 'a:changed-behind-the-link');
    rmSync(elsewhere, { recursive: true });
  });

  it('reports nothing when nothing changed', async () => {
    const clock = new FakeClock();
    write('a.yaml', namespace('a'));
    write('bad.yaml', 'kind: [');
    const { reports } = await follow(clock);
    await rescan(clock);
    await rescan(clock);
    expect(reports.count).toBe(1);
  });
});
