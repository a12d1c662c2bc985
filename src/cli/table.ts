/** Lays out rows as aligned columns. On a terminal that is too narrow the widest shrinkable column gives way. */
import { printable, truncate, width } from './printable.ts';
import type { Paint, Style } from './screen.ts';

/** Text, or text with a style. Never trusted: it is made printable here. */
export type Cell = string | { readonly text: string; readonly style: Style };

export interface Column<Row> {
  readonly header: string;
  readonly cell: (row: Row) => Cell;
  readonly align?: 'right';
  /** Shown with `-o wide` only. */
  readonly wide?: true;
  /** May be cut on a narrow terminal. */
  readonly shrink?: true;
}

export interface TableOptions {
  readonly paint: Paint;
  /** Columns of the terminal; undefined: as wide as it takes. */
  readonly columns: number | undefined;
}

interface Placed {
  readonly text: string;
  readonly style: Style | undefined;
}

const gap = '  ';
const narrowest = 12;

/** The table as lines, header first. */
export function renderTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  options: TableOptions,
): readonly string[] {
  const header = columns.map((column): Placed => ({ text: column.header, style: 'bold' }));
  const grid = [header, ...rows.map((row) => columns.map((column) => place(column.cell(row))))];
  const widths = fit(columns, naturalWidths(grid, columns.length), options.columns);
  return grid.map((line) => renderLine(line, columns, widths, options.paint));
}

function place(cell: Cell): Placed {
  if (typeof cell === 'string') return { text: cell === '' ? '-' : printable(cell), style: undefined };
  return { text: printable(cell.text), style: cell.style };
}

const naturalWidths = (grid: readonly (readonly Placed[])[], count: number): number[] =>
  Array.from({ length: count }, (_, i) =>
    grid.reduce((most, line) => Math.max(most, width(line[i]?.text ?? '')), 0),
  );

function fit<Row>(
  columns: readonly Column<Row>[],
  widths: readonly number[],
  terminal: number | undefined,
): readonly number[] {
  if (terminal === undefined) return widths;
  const fitted = [...widths];
  let excess = fitted.reduce((sum, each) => sum + each + gap.length, -gap.length) - terminal;
  while (excess > 0) {
    const [widest] = columns
      .map((column, i) => ({ i, size: column.shrink === true ? (fitted[i] ?? 0) : 0 }))
      .toSorted((a, b) => b.size - a.size);
    if (widest === undefined || widest.size <= narrowest) break;
    fitted[widest.i] = widest.size - 1;
    excess -= 1;
  }
  return fitted;
}

function renderLine<Row>(
  line: readonly Placed[],
  columns: readonly Column<Row>[],
  widths: readonly number[],
  paint: Paint,
): string {
  const cells = line.map(({ text, style }, i) => {
    const room = widths[i] ?? 0;
    const shown = truncate(text, room);
    const padding = ' '.repeat(Math.max(0, room - width(shown)));
    const painted = style === undefined ? shown : paint(style, shown);
    if (columns[i]?.align === 'right') return padding + painted;
    return i === line.length - 1 ? painted : painted + padding;
  });
  return cells.join(gap);
}
