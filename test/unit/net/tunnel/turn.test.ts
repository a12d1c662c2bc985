import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { Turn, type TurnTask } from '../../../../src/net/tunnel/turn.ts';

function setUp() {
  const loop = { round: 0 };
  const turn = new Turn(() => loop.round);
  const did: string[] = [];
  const task = (name: string): TurnTask => ({ endTurn: () => void did.push(name) });
  /** Rounds of the event loop with one piece of work each. */
  const rounds = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      loop.round += 1;
      turn.atEnd(task('single'));
      await setImmediate();
    }
    did.length = 0;
  };
  return { loop, turn, did, task, rounds };
}

/** The end of the callback at hand. */
const nextTick = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve));

describe('work that is put off', () => {
  it('is done once and in order, at the end of a round of the event loop', async () => {
    const { turn, did, task } = setUp();
    turn.atEnd(task('one'));
    turn.atEnd(task('two'));
    await nextTick();
    expect(did).toEqual([]);
    await setImmediate();
    expect(did).toEqual(['one', 'two']);
    await setImmediate();
    expect(did).toHaveLength(2);
  });

  it('does not wait for the round to end while there is nothing to gather', async () => {
    const { loop, turn, did, task, rounds } = setUp();
    await rounds(100);
    loop.round += 1;
    turn.atEnd(task('alone'));
    expect(did).toEqual([]);
    await nextTick();
    expect(did).toEqual(['alone']);
  });

  it('is gathered again as soon as a round has work twice', async () => {
    const { loop, turn, did, task, rounds } = setUp();
    await rounds(100);
    loop.round += 1;
    turn.atEnd(task('first'));
    await nextTick();
    turn.atEnd(task('second'));
    await nextTick();
    expect(did).toEqual(['first', 'second']);
    turn.atEnd(task('third'));
    turn.atEnd(task('fourth'));
    await nextTick();
    expect(did).toHaveLength(2);
    await setImmediate();
    expect(did).toEqual(['first', 'second', 'third', 'fourth']);
  });
});
