import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { silentLogger } from '../../../../src/base/log.ts';
import { type KubeObject, type ObjectKey, objectKey } from '../../../../src/kube/objects.ts';
import { readSnapshot, SnapshotFile } from '../../../../src/kube/snapshot/snapshot-file.ts';
import { SnapshotKeeper } from '../../../../src/kube/snapshot/snapshot-keeper.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const source = 'kubernetes https://10.96.0.1:443';
const knownAt = Date.UTC(2026, 0, 1);

const namespace = (name: string, team = 'x'): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels: { team } },
});

const keyOf = (name: string): ObjectKey => objectKey(namespace(name));

let directory: string;
let path: string;
let clock: FakeClock;
let logged: string[];
let keeper: SnapshotKeeper;

const note = (_: unknown, message: string): void => void logged.push(message);

function open(): void {
  const log = { ...silentLogger, warn: note, info: note };
  keeper = new SnapshotKeeper({ file: new SnapshotFile(path), clock, log, source, knownAt: () => knownAt });
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mesh-ebpf-snapshot-'));
  path = join(directory, 'state', 'objects.snapshot');
  clock = new FakeClock();
  logged = [];
  open();
});

afterEach(async () => {
  await keeper.close();
  rmSync(directory, { recursive: true, force: true });
});

const set = (...objects: readonly KubeObject[]): void =>
  keeper.record({ set: objects.map((object) => ({ object, position: undefined })), deleted: [] });

const byName = (objects: Iterable<unknown>): unknown[] =>
  [...objects].toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));

const kept = async (): Promise<readonly unknown[]> => (await readSnapshot(path, source))?.objects ?? [];

describe('a snapshot', () => {
  it('holds what the source reported last, and when that was heard', async () => {
    set(namespace('a'), namespace('b'));
    await keeper.close();
    expect(await readSnapshot(path, source)).toEqual({
      objects: [namespace('a'), namespace('b')],
      writtenAt: knownAt,
    });
  });

  it('is for nobody else to read', async () => {
    set(namespace('a'));
    await keeper.close();
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(directory, 'state')).mode & 0o777).toBe(0o700);
  });

  it('is written after some seconds, however much happens in them', async () => {
    for (let i = 0; i < 100; i++) set(namespace('a', `t${i}`));
    await clock.advance(4_999);
    expect(await readSnapshot(path, source)).toBeUndefined();
    await clock.advance(1);
    await keeper.close();
    expect(await kept()).toEqual([namespace('a', 't99')]);
  });

  it('grows by what changed, not by what there is', async () => {
    set(...Array.from({ length: 1000 }, (_, i) => namespace(`n${i}`)));
    await keeper.close();
    const { size } = statSync(path);
    open();
    set(...Array.from({ length: 1000 }, (_, i) => namespace(`n${i}`)));
    await clock.advance(5_000);
    set(namespace('n7', 'changed'));
    await keeper.close();
    expect(statSync(path).size - size).toBeLessThan(200);
    expect(await kept()).toContainEqual(namespace('n7', 'changed'));
  });

  it('is made anew when its changes have outgrown it', async () => {
    for (let i = 0; i < 20; i++) {
      set(...Array.from({ length: 300 }, (_, n) => namespace(`n${n}`, `t${i}`)));
      await clock.advance(5_000);
    }
    await keeper.close();
    const versions = readFileSync(path, 'utf8').split('"kind":"Namespace"').length;
    expect(versions).toBeLessThan(2_700);
    expect(await kept()).toEqual(Array.from({ length: 300 }, (_, n) => namespace(`n${n}`, 't19')));
  });

  it('is the state, whatever changes led there', async () => {
    const names = fc.constantFrom('a', 'b', 'c');
    const step = fc.record({
      set: fc.array(names),
      deleted: fc.array(names),
      team: fc.constantFrom('x', 'y'),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step), async (steps) => {
        open();
        const state = new Map<ObjectKey, KubeObject>();
        for (const { set: names_, deleted, team } of steps) {
          const gone = deleted.filter((name) => !names_.includes(name));
          gone.forEach((name) => state.delete(keyOf(name)));
          names_.forEach((name) => state.set(keyOf(name), namespace(name, team)));
          keeper.record({ set: [], deleted: gone.map(keyOf) });
          set(...names_.map((name) => namespace(name, team)));
          await clock.advance(5_000);
        }
        await keeper.close();
        expect(byName(await kept())).toEqual(byName(state.values()));
        rmSync(path, { force: true });
      }),
      { numRuns: 50 },
    );
  });

  it('on a disk that cannot be written is reported once, tried again, and costs nothing else', async () => {
    writeFileSync(join(directory, 'state'), 'a file where the directory should be');
    set(namespace('a'));
    await clock.advance(5_000);
    await settled(() => keeper.failure !== undefined);
    expect(keeper.failure?.error.code).toBe('SNAPSHOT');
    rmSync(join(directory, 'state'));
    await clock.advance(60_000);
    await settled(() => keeper.failure === undefined);
    expect(await kept()).toEqual([namespace('a')]);
    expect(logged).toEqual([expect.stringContaining('cannot be written'), 'the snapshot is written again']);
  });
});

describe('a snapshot that was not written to its end', () => {
  it('is read up to there', async () => {
    set(namespace('a'));
    await keeper.close();
    appendFileSync(path, '1234abcd {"at":1,"set":[{"kind":"Names');
    expect(await kept()).toEqual([namespace('a')]);
  });

  it('is not used if its first state is incomplete', async () => {
    set(namespace('a'));
    await keeper.close();
    const [header] = readFileSync(path, 'utf8').split('\n');
    writeFileSync(path, `${header}\n`);
    await expect(kept()).rejects.toThrow(/is ignored: it is damaged: its end is missing/);
  });
});

describe('a snapshot that cannot be trusted', () => {
  const damage: readonly (readonly [string, (text: string) => string, RegExp])[] = [
    ['has a changed byte', (text) => text.replace('"team":"x"', '"team":"y"'), /a checksum is wrong/],
    ['is another file', () => 'hello\n', /a checksum is wrong/],
    ['is empty', () => '', /its end is missing/],
  ];

  it.each(damage)('because it %s is refused', async (_name, spoil, message) => {
    set(namespace('a'));
    await keeper.close();
    writeFileSync(path, spoil(readFileSync(path, 'utf8')));
    await expect(kept()).rejects.toThrow(message);
  });

  it('because it is of another cluster is refused, and named', async () => {
    set(namespace('a'));
    await keeper.close();
    await expect(readSnapshot(path, 'kubernetes https://other')).rejects.toThrow(
      /it is of "kubernetes https/,
    );
  });

  it('because it is of another version is refused', async () => {
    set(namespace('a'));
    await keeper.close();
    const [header = '', ...records] = readFileSync(path, 'utf8').split('\n');
    const { crc32 } = await import('node:zlib');
    const json = header.slice(9).replace('"version":1', '"version":2');
    const sum = crc32(json).toString(16).padStart(8, '0');
    writeFileSync(path, [`${sum} ${json}`, ...records].join('\n'));
    await expect(kept()).rejects.toThrow(/its version is 2, expected 1/);
  });
});

/** File operations take real time, however still the clock stands. */
async function settled(condition: () => boolean): Promise<void> {
  const end = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error('waited in vain');
    await new Promise((resolve) => setImmediate(resolve));
  }
}
