/** A read command in the general: ask the nodes, print what they say, say who did not answer, decide the exit status. */
import { adminApiVersion } from '../telemetry/admin-api.ts';
import { unreachableText } from './error-text.ts';
import { type ExitCode, exitCodes, worse } from './exit-codes.ts';
import type { Unreachable } from './node-handle.ts';
import { type Listing, type OutputFormat, printListing } from './output.ts';
import type { Screen } from './screen.ts';

export interface NodeListing<Row> extends Omit<Listing<Row>, 'document'> {
  /** `kind` of the document for json and yaml. */
  readonly kind: string;
  /** Further fields of that document. */
  readonly extra?: object;
  readonly unreachable: readonly Unreachable[];
  /** Whether a row is something a person should act on. */
  readonly finding?: (row: Row) => boolean;
}

export function printNodeListing<Row>(
  screen: Screen,
  format: OutputFormat,
  listing: NodeListing<Row>,
): ExitCode {
  const { kind, rows, extra, unreachable, finding } = listing;
  printListing(screen, format, {
    ...listing,
    // Why there is nothing is not known while somebody is silent.
    empty: unreachable.length === 0 ? listing.empty : 'nothing to show from the nodes that answered',
    document: listDocument(kind, { items: rows, ...extra }, unreachable),
  });
  const found = finding !== undefined && rows.some(finding) ? exitCodes.findings : exitCodes.clean;
  return worse(found, reportUnreachable(screen, unreachable));
}

export function listDocument(kind: string, body: object, unreachable: readonly Unreachable[]): object {
  return {
    apiVersion: adminApiVersion,
    kind,
    ...body,
    unreachable: unreachable.map(({ node, where, error }) => ({
      node,
      where,
      code: error.code,
      message: error.message,
    })),
  };
}

export function reportUnreachable(screen: Screen, unreachable: readonly Unreachable[]): ExitCode {
  for (const one of unreachable) screen.hint(unreachableText(one));
  return unreachable.length === 0 ? exitCodes.clean : exitCodes.undecided;
}

/** One row for each key: of several nodes' words about a thing the best, where `better(a, b)` says a is. */
export function mergeBy<Row>(
  rows: readonly Row[],
  key: (row: Row) => string,
  better: (a: Row, b: Row) => boolean,
): readonly Row[] {
  const merged = new Map<string, Row>();
  for (const row of rows) {
    const known = merged.get(key(row));
    if (known === undefined || better(row, known)) merged.set(key(row), row);
  }
  return [...merged].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
}
