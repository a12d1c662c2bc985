import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { silentLogger } from '../../../src/base/log.ts';
import type { Fd } from '../../../src/native/binding.ts';
import { connectKeeper, type Keeper, noKeeper, parseTable } from '../../../src/native/keeper.ts';

let directory = '';
const opened: number[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mesh-ebpf-keeper-'));
});
afterEach(() => {
  for (const fd of opened.splice(0)) closeSync(fd);
  rmSync(directory, { recursive: true });
});

/** A keeper that left these, and what was said to it. `deaf`: it does not read. */
function keeperWith(table: string, deaf = false) {
  const path = join(directory, 'table');
  writeFileSync(path, table);
  const list = openSync(path, 'r');
  opened.push(list);
  const said: string[] = [];
  const closed: number[] = [];
  const native = {
    adoptFd: (fd: number) => fd as Fd,
    closeFd: (fd: Fd) => void closed.push(fd),
    sendMessage: (_channel: Fd, text: string, fd: Fd | null) => {
      if (deaf) throw new Error('EAGAIN');
      said.push(fd === null ? text : `${text} (${fd})`);
    },
  };
  const keeper: Keeper = connectKeeper({ native, log: silentLogger }, `900 ${list} 2`);
  return { keeper, said, closed: () => closed.filter((fd) => fd !== list) };
}

describe('a worker under a keeper', () => {
  it('takes what an earlier one left, each thing once', () => {
    const { keeper } = keeperWith('17 listener:a\n18 listener:b\n');
    expect(keeper.take('listener:a')).toBe(17);
    expect(keeper.take('listener:a')).toBeUndefined();
    expect(keeper.take('listener:c')).toBeUndefined();
  });

  it('knows how often the keeper had to start one again', () => {
    expect(keeperWith('').keeper.restarts).toBe(2);
    expect(noKeeper.restarts).toBe(0);
  });

  it('hands over, and withdraws, by name', () => {
    const { keeper, said } = keeperWith('');
    keeper.hold('pod:1:a', 30 as Fd);
    keeper.hold('pod:1:b', 31 as Fd);
    keeper.hold('pod:12:a', 32 as Fd);
    keeper.drop('pod:1:');
    expect(said).toEqual([
      'hold pod:1:a (30)',
      'hold pod:1:b (31)',
      'hold pod:12:a (32)',
      'drop pod:1:a',
      'drop pod:1:b',
    ]);
  });

  it('that serves closes what it did not take, for nobody will', () => {
    const { keeper, said, closed } = keeperWith('17 listener:a\n18 listener:b\n');
    keeper.take('listener:a');
    expect(keeper.ready()).toBe(1);
    expect(closed()).toEqual([18]);
    expect(said).toEqual(['drop listener:b', 'ready']);
  });

  it('goes on when the keeper does not listen', () => {
    const { keeper } = keeperWith('', true);
    expect(() => {
      keeper.hold('a', 1 as Fd);
      keeper.drop('a');
      keeper.ready();
    }).not.toThrow();
  });
});

describe('a worker without a keeper', () => {
  const native = { adoptFd: (fd: number) => fd as Fd, closeFd: () => {}, sendMessage: () => {} };

  it('has nothing to take and nobody to hold anything', () => {
    expect(connectKeeper({ native, log: silentLogger }, undefined)).toBe(noKeeper);
  });

  it.each(['', '3', '3 4', '3 x 0', '3 4 5 6', '-1 4 0'])('is told when somebody else set the variable: "%s"', (place) => {
    expect(() => connectKeeper({ native, log: silentLogger }, place)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });
});

describe('the table of what is inherited', () => {
  it('has a descriptor and a name a line; anything else is passed over', () => {
    expect(parseTable('7 a:b\n\nx y\n8 c d\n9 e\n')).toEqual([
      ['a:b', 7],
      ['e', 9],
    ]);
  });
});
