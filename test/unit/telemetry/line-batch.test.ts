import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { batchLines } from '../../../src/telemetry/line-batch.ts';

function batch() {
  const written: string[] = [];
  return { written, lines: batchLines((text) => written.push(text)) };
}

describe('log lines', () => {
  it('of one turn leave together, in order', async () => {
    const { written, lines } = batch();
    lines.write('one\n');
    lines.write('two\n');
    expect(written).toEqual([]);
    await setImmediate();
    expect(written).toEqual(['one\ntwo\n']);
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
