/** Prints what a read command found, in the format asked for. All formats have the same data and exit status. */
import { Document, isScalar, visit } from 'yaml';
import { escapeUnsafe, hasUnsafe, printable } from './printable.ts';
import type { Screen } from './screen.ts';
import { type Column, renderTable } from './table.ts';

export const outputFormats = ['table', 'wide', 'json', 'yaml', 'name'] as const;
export type OutputFormat = (typeof outputFormats)[number];

export interface Listing<Row> {
  readonly rows: readonly Row[];
  readonly columns: readonly Column<Row>[];
  /** How `-o name` says a row, to be given to another command. */
  readonly name: (row: Row) => string;
  /** The whole document for json and yaml. */
  readonly document: object;
  /** Why there may be nothing; said on stderr when there are no rows. */
  readonly empty: string;
}

export function printListing<Row>(screen: Screen, format: OutputFormat, listing: Listing<Row>): void {
  if (listing.rows.length === 0) screen.hint(listing.empty);
  switch (format) {
    case 'json':
    case 'yaml':
      printDocument(screen, format, listing.document);
      return;
    case 'name':
      for (const row of listing.rows) screen.data(printable(listing.name(row)));
      return;
    case 'table':
    case 'wide':
      printTable(screen, format, listing);
  }
}

function printTable<Row>(screen: Screen, format: 'table' | 'wide', { rows, columns }: Listing<Row>): void {
  if (rows.length === 0) return;
  const shown = columns.filter((column) => column.wide !== true || format === 'wide');
  const room = format === 'wide' ? undefined : screen.columns;
  for (const line of renderTable(shown, rows, { paint: screen.paint, columns: room })) screen.data(line);
}

export function printDocument(screen: Screen, format: 'json' | 'yaml', document: object): void {
  screen.data(format === 'json' ? escapeUnsafe(JSON.stringify(document, undefined, 2)) : toYaml(document));
}

/** One line, for streams. */
export const printJsonLine = (screen: Screen, document: object): void =>
  screen.data(escapeUnsafe(JSON.stringify(document)));

function toYaml(value: object): string {
  // What JSON has no words for (undefined) shall be left out of YAML too.
  const document = new Document(JSON.parse(JSON.stringify(value)), {
    aliasDuplicateObjects: false,
    // Quotes what readers of YAML 1.1 would take for a date or a truth value.
    version: '1.1',
  });
  visit(document, {
    Scalar(_key, node) {
      // Only double quotes have escapes; `escapeUnsafe` below writes them.
      const unsafe = isScalar(node) && typeof node.value === 'string' && hasUnsafe(node.value);
      if (unsafe) node.type = 'QUOTE_DOUBLE';
    },
  });
  return escapeUnsafe(document.toString({ lineWidth: 0 })).trimEnd();
}
