/** All rows, in the order in which they are measured and shown. */
import { bulkRow } from './bulk.ts';
import { idleRow } from './idle.ts';
import type { Row } from './row.ts';
import { sameNodeRows } from './same-node.ts';
import { roundTripRow, shortRow } from './small.ts';
import { unmeshedBulkRow, unmeshedConnectRow } from './unmeshed.ts';

export const allRows: readonly Row[] = [
  idleRow,
  bulkRow('up', 1),
  bulkRow('up', 8),
  bulkRow('down', 1),
  roundTripRow(1),
  roundTripRow(32),
  shortRow(1),
  shortRow(8),
  unmeshedConnectRow,
  unmeshedBulkRow,
  ...sameNodeRows,
];
