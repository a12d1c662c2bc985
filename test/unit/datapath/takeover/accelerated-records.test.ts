import { beforeEach, describe, expect, it } from '@jest/globals';
import type { Accelerated } from '../../../../src/datapath/abi/acceleration-layout.ts';
import type { Flow, FlowKey } from '../../../../src/datapath/abi/layout.ts';
import {
  AcceleratedRecords,
  type EarlierAccelerated,
} from '../../../../src/datapath/takeover/accelerated-records.ts';

const record = (bytesSent: bigint): Accelerated => ({ bytesSent, bytesReceived: 0n, unanswered: [0, 0] });

let theirs: Map<bigint, Accelerated>;
let ours: Map<bigint, Accelerated>;
let open: bigint[];
let warnings: string[];

const earlier = (): EarlierAccelerated => ({
  entries: () => [...theirs],
  take(cookie) {
    const found = theirs.get(cookie);
    theirs.delete(cookie);
    return found;
  },
});

const records = (...tables: (EarlierAccelerated | undefined)[]): AcceleratedRecords =>
  new AcceleratedRecords({
    theirs: tables,
    ours: {
      set: (cookie, value) => void ours.set(cookie, value),
      entries: () => [...ours],
      deleteAll: (cookies) => cookies.forEach((cookie) => ours.delete(cookie)),
    },
    flows: { entries: () => open.map((socketCookie) => [{} as FlowKey, { socketCookie } as Flow]) },
    log: { warn: (_: unknown, message?: string) => void warnings.push(message ?? '') },
  });

beforeEach(() => {
  theirs = new Map([
    [1n, record(10n)],
    [2n, record(20n)],
  ]);
  ours = new Map();
  open = [1n, 2n];
  warnings = [];
});

describe('what accelerated connections carried', () => {
  it('is known to both recorders before it is moved', () => {
    records(earlier()).copy();
    expect([...ours.keys(), ...theirs.keys()]).toEqual([1n, 2n, 1n, 2n]);
  });

  it('is moved with what came since, and stops the program of before', () => {
    const carried = records(earlier());
    carried.copy();
    theirs.set(2n, record(25n));
    carried.move();
    expect(theirs.size).toBe(0);
    expect(ours.get(2n)?.bytesSent).toBe(25n);
    carried.prune();
    expect([...ours.keys()]).toEqual([1n, 2n]);
  });

  it('is forgotten when the connection has ended meanwhile', () => {
    const carried = records(earlier());
    carried.move();
    open = [2n];
    carried.prune();
    expect([...ours.keys()]).toEqual([2n]);
  });

  it('is lost with a word where it cannot be read, and of no other map', () => {
    const failing: EarlierAccelerated = {
      ...earlier(),
      entries: () => {
        throw new Error('odd');
      },
    };
    records(undefined, failing, earlier()).move();
    expect(ours.size).toBe(2);
    expect(warnings).toHaveLength(2);
  });
});
