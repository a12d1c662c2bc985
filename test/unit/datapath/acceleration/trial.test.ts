import { describe, expect, it } from '@jest/globals';
import { judge } from '../../../../src/datapath/acceleration/trial.ts';

const good = { pairs: 24, intact: 24, bytes: 1000, spuriousWakeups: 0 };

describe('a trial of acceleration', () => {
  it('is good if every byte arrived by the short way, whatever blocking sockets see', () => {
    expect(judge({ ...good, spuriousWakeups: 24 }, 800)).toEqual({
      fault: undefined,
      pairs: 24,
      spuriousWakeups: 24,
    });
  });

  it('is not if something was lost', () => {
    expect(judge({ ...good, intact: 23 }, 1000).fault).toContain('on 1 of 24');
  });

  it('is not if it did not try what it was about', () => {
    expect(judge(good, 0).fault).toContain('0 of 1000 bytes took the short way');
    expect(judge(good, 1000).fault).toContain('1000 of 1000 bytes took the short way');
  });
});
