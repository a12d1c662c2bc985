import { describe, expect, it } from '@jest/globals';
import { parseOptions } from '../../bench-control/options.ts';

describe('the options of the control bench', () => {
  it('are 1 000 and 10 000 pods unless told', () => {
    expect(parseOptions([])).toMatchObject({ sizes: [1_000, 10_000], json: undefined, help: false });
  });

  it('take sizes in ascending order, each once: a cluster grows from one to the next', () => {
    expect(parseOptions(['--pods', '5000', '--pods', '1000', '--pods', '5000']).sizes).toEqual([1000, 5000]);
  });

  it('repeat less when it has to be quick', () => {
    expect(parseOptions(['--quick']).changes).toBeLessThan(parseOptions([]).changes);
  });

  it.each(['999', '200001', '-1000', '1e4', '', 'many'])('refuse %j pods', (pods) => {
    expect(() => parseOptions([`--pods=${pods}`])).toThrow(/not a number from 1000 to 200000/);
  });
});
