/** What some kernels do not have. Where a test is skipped, `make test` fails; `make test-kernels` compares with docs/kernels.md. */
import { describe, it } from '@jest/globals';
import { existsSync } from 'node:fs';
import { tooOld, tryAcceleration } from '../../../src/datapath/acceleration/trial.ts';
import { native, objectPath } from './lab.ts';

/** IPPROTO_MPTCP. */
export const multipath = 262;

/** Debian's Linux 5.10 is built without Multipath TCP: there are no such sockets to capture. */
export const withMultipath = existsSync('/proc/sys/net/mptcp') ? it : it.skip;

/** Linux before 6.10 damages bytes on accelerated connections (docs/acceleration.md), so the node program makes none there. */
const accelerates = (await tryAcceleration(native, objectPath)).fault !== tooOld;
export const describeAccelerated = accelerates ? describe : describe.skip;
export const itAccelerates = accelerates ? it : it.skip;
