import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { batchLines } from '../../../src/telemetry/line-batch.ts';
import { FakeClock } from '../../support/fake-clock.ts';

function batch() {
  const written: string[] = [];
  const clock = new FakeClock();
  return { written, clock, lines: batchLines((text) => written.push(text), clock) };
}

describe('log lines', () => {
  it('of one turn leave together, in order, at its end', async () => {
    const { written, lines } = batch();
    lines.write('one\n');
    lines.write('two\n');
    expect(written).toEqual([]);
    await setImmediate();
    expect(written).toEqual(['one\ntwo\n']);
  });

  it('that follow closely wait for others, but not for long', async () => {
    const { written, clock, lines } = batch();
    lines.write('first\n');
    await setImmediate();
    lines.write('second\n');
    await setImmediate();
    lines.write('third\n');
    expect(written).toEqual(['first\n']);
    await clock.advance(20);
    expect(written).toEqual(['first\n', 'second\nthird\n']);
  });

  it('do not wait after a pause', async () => {
    const { written, clock, lines } = batch();
    lines.write('first\n');
    await setImmediate();
    await clock.advance(20);
    lines.write('second\n');
    await setImmediate();
    expect(written).toEqual(['first\n', 'second\n']);
  });

  it('leave at once when the process ends, and only once', async () => {
    const { written, lines } = batch();
    lines.write('last\n');
    lines.flush();
    await setImmediate();
    expect(written).toEqual(['last\n']);
  });

  it('do not pile up within a turn', () => {
    const { written, lines } = batch();
    for (let i = 0; i < 1000; i++) lines.write(`${'x'.repeat(199)}\n`);
    expect(written.length).toBeGreaterThan(1);
  });
});
