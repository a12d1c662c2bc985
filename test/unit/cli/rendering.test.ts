import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { escapeUnsafe, printable, truncate, width } from '../../../src/cli/printable.ts';
import { formatAge, formatBytes, formatDuration, formatUntil } from '../../../src/cli/format.ts';
import { type Column, renderTable } from '../../../src/cli/table.ts';
import { parseCount, parseDuration, parsePod } from '../../../src/cli/usage.ts';
import { createScreen } from '../../../src/cli/screen.ts';
import type { CliEnv } from '../../../src/cli/env.ts';

// oxlint-disable-next-line no-control-regex -- the very characters that must not come through
const dangerous = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/u;

const plain = (_style: string, text: string): string => text;

describe('text from strangers', () => {
  it('never reaches the terminal as a control character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => expect(printable(text)).not.toMatch(dangerous)),
    );
  });

  it('is left alone when it is harmless, in any script', () => {
    const harmless = ['shop/web-1', 'Grüße', '購物車', '🛒 cart', 'e\u0301'];
    expect(harmless.map(printable)).toEqual(harmless);
  });

  it('means the same in JSON after it was made safe', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(JSON.parse(escapeUnsafe(JSON.stringify({ text })))).toEqual({ text });
      }),
    );
  });
});

describe('the width of text', () => {
  it.each([
    ['web', 3],
    ['購物', 4],
    ['🛒', 2],
    ['e\u0301', 1],
    ['', 0],
  ])('of "%s" is %i columns', (text, columns) => expect(width(text)).toBe(columns));

  it('is never exceeded by a truncated text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 1, max: 40 }), (text, columns) => {
        expect(width(truncate(printable(text), columns))).toBeLessThanOrEqual(columns);
      }),
    );
  });
});

interface Pair {
  readonly a: string;
  readonly b: string;
}

const columns: readonly Column<Pair>[] = [
  { header: 'A', cell: ({ a }) => a, shrink: true },
  { header: 'B', cell: ({ b }) => b },
];

describe('a table', () => {
  it('aligns columns of wide characters', () => {
    const lines = renderTable(
      columns,
      [
        { a: '購物', b: '1' },
        { a: 'web', b: '2' },
      ],
      { paint: plain, columns: undefined },
    );
    expect(lines).toEqual(['A     B', '購物  1', 'web   2']);
  });

  it('fits a narrow terminal by cutting what may be cut, and nothing else', () => {
    const rows = [{ a: 'a'.repeat(60), b: 'important-value' }];
    const [, line = ''] = renderTable(columns, rows, { paint: plain, columns: 40 });
    expect(width(line)).toBeLessThanOrEqual(40);
    expect(line).toMatch(/…  important-value$/);
  });

  it('never cuts when the output is no terminal', () => {
    const rows = [{ a: 'a'.repeat(500), b: 'x' }];
    expect(renderTable(columns, rows, { paint: plain, columns: undefined })[1]).toContain('a'.repeat(500));
  });

  it('keeps columns aligned under any content', () => {
    const row = fc.record({ a: fc.string({ unit: 'grapheme', maxLength: 30 }), b: fc.constant('B!') });
    fc.assert(
      fc.property(
        fc.array(row, { minLength: 1 }),
        fc.option(fc.integer({ min: 10, max: 80 })),
        (rows, room) => {
          const lines = renderTable(columns, rows, { paint: plain, columns: room ?? undefined });
          const starts = lines.slice(1).map((line) => width(line.slice(0, line.lastIndexOf('B!'))));
          expect(new Set(starts).size).toBe(1);
        },
      ),
    );
  });

  it('shows a dash where there is nothing', () => {
    expect(renderTable(columns, [{ a: '', b: 'x' }], { paint: plain, columns: undefined })[1]).toBe('-  x');
  });
});

const stream = (isTTY: boolean): CliEnv['stdout'] => ({ write: () => {}, isTTY, columns: 80 });

const painted = (
  isTTY: boolean,
  variables: CliEnv['variables'],
  mode: 'auto' | 'always' | 'never' = 'auto',
): boolean => {
  const env = { stdout: stream(isTTY), stderr: stream(isTTY), variables } as CliEnv;
  return createScreen(env, mode).paint('red', 'x') !== 'x';
};

describe('colour', () => {
  it('is for terminals only, unless told otherwise', () => {
    expect(painted(true, {})).toBe(true);
    expect(painted(false, {})).toBe(false);
    expect(painted(false, { CLICOLOR_FORCE: '1' })).toBe(true);
    expect(painted(false, { CLICOLOR_FORCE: '0' })).toBe(false);
    expect(painted(true, { NO_COLOR: '1' })).toBe(false);
    expect(painted(true, { NO_COLOR: '' })).toBe(true);
    expect(painted(true, { TERM: 'dumb' })).toBe(false);
  });

  it('obeys the flag over the environment', () => {
    expect(painted(false, { NO_COLOR: '1' }, 'always')).toBe(true);
    expect(painted(true, { CLICOLOR_FORCE: '1' }, 'never')).toBe(false);
  });
});

describe('numbers', () => {
  it('read as people say them', () => {
    expect([0, 999, 1000, 61_000, 7_200_000, 200_000_000].map(formatAge)).toEqual([
      '0s',
      '0s',
      '1s',
      '1m',
      '2h',
      '2d',
    ]);
    expect([0.25, 12, 1500, 90_000].map(formatDuration)).toEqual(['250µs', '12ms', '1.5s', '1m']);
    expect([0, 1023, 1024, 5_000_000, 2 ** 43].map(formatBytes)).toEqual([
      '0 B',
      '1023 B',
      '1.0 KiB',
      '4.8 MiB',
      '8.0 TiB',
    ]);
    expect(formatUntil('2026-11-21T12:00:00Z', Date.parse('2026-11-21T13:00:00Z'))).toBe('expired');
  });

  it('are read strictly', () => {
    expect(['500ms', '30s', '1h30m', '1.5h', '0s'].map(parseDuration)).toEqual([
      500, 30_000, 5_400_000, 5_400_000, 0,
    ]);
    const durations = ['', '10', 's', '10 s', '-5s', '5x', '1h foo', '1e3s'];
    for (const bad of durations) expect(() => parseDuration(bad)).toThrow();
    for (const bad of ['', '-1', '1.5', '1e3', '9999999999', ' 1']) expect(() => parseCount(bad)).toThrow();
  });

  it('and pods are read in every usual spelling', () => {
    expect(parsePod('web-1')).toEqual({ namespace: undefined, name: 'web-1' });
    expect(parsePod('pod/web-1')).toEqual({ namespace: undefined, name: 'web-1' });
    expect(parsePod('shop/web-1')).toEqual({ namespace: 'shop', name: 'web-1' });
    expect(parsePod('web-1.shop')).toEqual({ namespace: 'shop', name: 'web-1' });
    for (const bad of ['', 'a/b/c', 'UP', '../x', 'a b', '-x', 'x/']) expect(() => parsePod(bad)).toThrow();
  });
});
