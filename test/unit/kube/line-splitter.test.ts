import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { LineSplitter } from '../../../src/kube/line-splitter.ts';

describe('the line splitter', () => {
  it('gives the same lines however the bytes are cut, also within a character', () => {
    const texts = fc.array(fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\n', '')));
    fc.assert(
      fc.property(texts, fc.integer({ min: 1, max: 7 }), (lines, size) => {
        const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
        const splitter = new LineSplitter(1_000);
        const found: string[] = [];
        for (let i = 0; i < bytes.length; i += size)
          found.push(...splitter.push(bytes.subarray(i, i + size)));
        expect(found).toEqual(lines);
        expect(splitter.isMidLine).toBe(false);
      }),
    );
  });

  it('holds what has not ended', () => {
    const splitter = new LineSplitter(10);
    expect([...splitter.push(Buffer.from('a\nb'))]).toEqual(['a']);
    expect(splitter.isMidLine).toBe(true);
    expect([...splitter.push(Buffer.from('c\n'))]).toEqual(['bc']);
  });

  it('refuses a line that is too long before it has it all', () => {
    const splitter = new LineSplitter(10);
    expect(() => [
      ...splitter.push(Buffer.from('x'.repeat(6))),
      ...splitter.push(Buffer.from('x'.repeat(6))),
    ]).toThrow(/longer than 10 bytes/);
  });
});
