/** One connection's record in the maps of two versions of the programs, in each state that either can have. */
import { describe, expect, it } from '@jest/globals';
import type { Flow, FlowStage, OriginKind } from '../../../../src/datapath/abi/layout.ts';
import { mergedFlow, orphaned } from '../../../../src/datapath/takeover/merge.ts';

const flow = (stage: FlowStage, change: Partial<Flow> = {}, kind: OriginKind = 'kernel'): Flow => ({
  socketCookie: 1n,
  origin: { originalIp: undefined, podId: 1, originalPort: 0, kind, drawn: 'nothing' },
  openedAt: 10n,
  stage,
  closed: false,
  ...change,
});

describe('the record of a connection', () => {
  it.each([
    // What the new programs found counts; else what the old ones did; else ztunnel may have it.
    [undefined, 'admitted', 'admitted'],
    [undefined, 'asked', 'asked'],
    [undefined, 'new', 'asked'],
    ['new', 'admitted', 'admitted'],
    ['new', 'asked', 'asked'],
    ['new', 'new', 'asked'],
    ['asked', 'admitted', 'asked'],
    ['asked', 'new', 'asked'],
    ['admitted', 'new', 'admitted'],
    ['admitted', 'asked', 'admitted'],
  ] as const)('that ours has as %s and theirs as %s is %s', (ours, theirs, expected) => {
    const merged = mergedFlow(ours && flow(ours), flow(theirs));
    expect(merged).toEqual(flow(expected));
  });

  it('is closed if either says so', () => {
    expect(mergedFlow(flow('asked'), flow('asked', { closed: true })).closed).toBe(true);
    expect(mergedFlow(flow('asked', { closed: true }), flow('asked')).closed).toBe(true);
  });

  it('of an earlier connection of the same tuple gives way to the later one', () => {
    const [early, late] = [
      flow('asked', { openedAt: 1n }),
      flow('admitted', { socketCookie: 2n, openedAt: 2n }),
    ];
    expect(mergedFlow(early, late)).toEqual(late);
    expect(mergedFlow(late, early)).toEqual(late);
  });

  it('that is none of the kernel path stays as it is', () => {
    expect(mergedFlow(undefined, flow('new', {}, 'captured'))).toEqual(flow('new', {}, 'captured'));
  });
});

describe('the record of a connection whose socket is gone', () => {
  it('goes, unless ztunnel may have the connection in its queue', () => {
    expect(orphaned(flow('admitted'))).toBeUndefined();
    expect(orphaned(flow('new', {}, 'captured'))).toBeUndefined();
    expect(orphaned(flow('asked'))).toEqual(flow('asked', { closed: true }));
    expect(orphaned(flow('new'))).toEqual(flow('new', { closed: true }));
  });
});
