/** What some kernels do not have. Where a test is skipped, `make test` fails; `make test-kernels` compares with docs/kernels.md. */
import { it } from '@jest/globals';
import { existsSync } from 'node:fs';

/** Debian's Linux 5.10 is built without Multipath TCP: there are no such sockets to capture. */
export const withMultipath = existsSync('/proc/sys/net/mptcp') ? it : it.skip;
