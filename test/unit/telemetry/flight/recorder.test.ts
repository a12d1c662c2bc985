import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { appendFile, mkdtemp, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../../../src/base/log.ts';
import type { ConnectionRecord } from '../../../../src/model/connection.ts';
import { ConnectionRegistry } from '../../../../src/telemetry/connection-registry.ts';
import { FlightFile } from '../../../../src/telemetry/flight/flight-file.ts';
import { PairTable } from '../../../../src/telemetry/flight/pairs.ts';
import { FlightRecorder, type Restored } from '../../../../src/telemetry/flight/recorder.ts';
import { nextSerial } from '../../../../src/telemetry/flight/serials.ts';
import { fakeClock, failure, peer, record, workload } from '../records.ts';

let directory: string;
let path: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mesh-flight-'));
  path = join(directory, 'connections.flight');
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

/** A node program's memory, begun from what is on disk. */
async function program(node = 'node-a') {
  const registry = new ConnectionRegistry();
  const pairs = new PairTable();
  const clock = fakeClock();
  const file = new FlightFile(path);
  const recorder = new FlightRecorder({ file, registry, pairs, clock, log: silentLogger, node });
  const restored = await recorder.start(() => undefined);
  const completed = (story: ConnectionRecord): void => {
    pairs.completed(story);
    registry.completed(story);
  };
  return {
    registry,
    pairs,
    clock,
    recorder,
    restored,
    completed,
    /** As the kernel does for it. */
    kill: async () => await file.close(),
    ids: () => registry.recent().records.map(({ record: { id } }) => id),
  };
}

/** What a program would find, which then ends. */
async function found(node?: string): Promise<Restored & { readonly ids: readonly string[] }> {
  const { restored, ids, recorder } = await program(node);
  await recorder.close();
  return { ...restored, ids: ids() };
}

/** Until the file has it: a program that is killed says nothing before. */
async function written(id: string): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await readFile(path, 'utf8')).includes(`"${id}"`)) {
    if (Date.now() > deadline) throw new Error(`${id} was not written`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe('the flight recorder', () => {
  it('remembers over a restart, in order and with the same numbers', async () => {
    const first = await program();
    const stories = [record(), record({ error: failure('DIAL_FAILED') }), record({ direction: 'inbound' })];
    stories.forEach(first.completed);
    await first.recorder.close();
    const second = await program();
    expect(second.restored).toEqual({ records: 3, pairs: 1, damaged: 0 });
    expect(second.ids()).toEqual(stories.map(({ id }) => id));
    expect(second.registry.recent().last).toBe(3);
    second.completed(record());
    expect(second.registry.recent({ after: 3 }).records).toHaveLength(1);
    await second.recorder.close();
  });

  it('remembers what was written before the program was killed', async () => {
    const killed = await program();
    const story = record();
    killed.completed(story);
    killed.clock.advance(250);
    await written(story.id);
    await killed.kill();
    const next = await program();
    expect(next.ids()).toEqual([story.id]);
    await next.recorder.close();
  });

  it('writes counts that changed a little later, though no connection follows', async () => {
    const killed = await program();
    for (let i = 0; i < 3; i++) {
      const story = record({ direction: 'inbound' });
      killed.completed(story);
      killed.clock.advance(250);
      await written(story.id);
    }
    killed.clock.advance(5000);
    const deadline = Date.now() + 10_000;
    while (!(await readFile(path, 'utf8')).includes('"count":3') && Date.now() < deadline) {
      killed.clock.advance(250);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await killed.kill();
    const next = await program();
    expect(next.pairs.all()).toMatchObject([{ count: 3 }]);
    await next.recorder.close();
  });

  it('tolerates a torn end, and counts it', async () => {
    const first = await program();
    const stories = [record(), record()];
    stories.forEach(first.completed);
    await first.recorder.close();
    await truncate(path, (await stat(path)).size - 20);
    const second = await program();
    expect(second.restored).toMatchObject({ records: 1, damaged: 1 });
    await second.recorder.close();
    // The damage is not carried on.
    expect(await found()).toMatchObject({ records: 1, damaged: 0 });
  });

  it('does not believe garbage, another node’s record, or a link', async () => {
    await writeFile(path, 'nonsense\n'.repeat(1000));
    expect(await found()).toMatchObject({ records: 0, damaged: 1000 });
    const first = await program();
    first.completed(record());
    await first.recorder.close();
    expect((await found('node-b')).records).toBe(0);
    await rm(path);
    await writeFile(join(directory, 'elsewhere'), 'untouched');
    await symlink(join(directory, 'elsewhere'), path);
    const linked = await program();
    expect(linked.restored.records).toBe(0);
    linked.completed(record());
    await linked.recorder.close();
    expect(await readFile(join(directory, 'elsewhere'), 'utf8')).toBe('untouched');
  });

  it('lets nobody but root read it', async () => {
    const { recorder } = await program();
    await recorder.close();
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('stays bounded under a flood, and still has a quiet pod’s failure', async () => {
    const { clock, recorder, completed } = await program();
    const quiet = record({
      source: peer('10.0.0.9:1', workload('blog', 'quiet-1')),
      error: failure('POLICY_DENIED', 'policy'),
    });
    completed(quiet);
    for (let turn = 0; turn < 60; turn++) {
      let last = quiet;
      for (let i = 0; i < 500; i++) completed((last = record()));
      clock.advance(250);
      await written(last.id);
    }
    expect((await stat(path)).size).toBeLessThan(10 * 1024 * 1024);
    await recorder.close();
    expect((await found()).ids).toContain(quiet.id);
  });

  it('costs no more than the record when the disk fails', async () => {
    await rm(directory, { recursive: true });
    await writeFile(directory, 'in the way');
    const { completed, clock, recorder, registry } = await program();
    completed(record());
    clock.advance(250);
    expect(registry.keptCount).toBe(1);
    await rm(directory);
    // It tries again after a minute, and makes everything anew.
    clock.advance(60_000);
    await recorder.close();
    expect((await found()).records).toBe(1);
  });

  it('does not trust what is appended by somebody else', async () => {
    const first = await program();
    first.completed(record());
    await first.recorder.close();
    await appendFile(path, '00000000 {"type":"record"}\n');
    expect(await found()).toMatchObject({ records: 1, damaged: 1 });
  });
});

describe('numbers of connections', () => {
  it('go on after those that are remembered, with room for those that were not written', () => {
    expect(nextSerial([], 'c-')).toBe(0);
    const ids = ['c-0', 'c-10', 'd-zz', 'c-nonsense!', 'x'].map((id) => ({
      id: id as ConnectionRecord['id'],
    }));
    expect(nextSerial(ids, 'c-')).toBeGreaterThan(36 + 100);
  });
});
