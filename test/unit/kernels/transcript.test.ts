import { describe, expect, it } from '@jest/globals';
import { type Expected, hear, silence, type Transcript } from '../../kernels/machine/transcript.ts';

const expected: Expected = { nonce: 'c0ffee', steps: ['bpf', 'lab'] };

const heard = (...lines: readonly string[]): Transcript =>
  lines.reduce((before, line) => hear(expected, before, line), silence);

const whole = [
  'c0ffee boot 5.10.0-46-amd64',
  'c0ffee begin bpf',
  'c0ffee end bpf 0 12',
  'c0ffee begin lab',
  'c0ffee end lab 1 345',
  'c0ffee done',
];

describe('what a guest says', () => {
  it('is its release, the exit status of each step and how long it took, and that it is done', () => {
    expect(heard(...whole)).toEqual({
      release: '5.10.0-46-amd64',
      ended: [
        { step: 'bpf', status: 0, seconds: 12 },
        { step: 'lab', status: 1, seconds: 345 },
      ],
      running: undefined,
      complete: true,
      nonsense: undefined,
    });
  });

  it('names the step it was at when it fell silent', () => {
    expect(heard(...whole.slice(0, 4))).toMatchObject({ running: 'lab', complete: false });
    expect(heard()).toMatchObject({ release: undefined, running: undefined, complete: false });
  });

  it.each([
    ['a line without the mark of this boot', ['boot 5.10'], 'boot 5.10'],
    ['a line of another boot', ['decaf boot 5.10'], 'decaf boot 5.10'],
    ['an empty line', [''], ''],
    ['a step before it has booted', ['c0ffee begin bpf'], 'c0ffee begin bpf'],
    ['a second boot', [...whole.slice(0, 3), 'c0ffee boot 5.10'], 'c0ffee boot 5.10'],
    ['a step that is not due', [...whole.slice(0, 1), 'c0ffee begin lab'], 'c0ffee begin lab'],
    ['the same step again', [...whole.slice(0, 3), 'c0ffee begin bpf'], 'c0ffee begin bpf'],
    ['a step within a step', [...whole.slice(0, 2), 'c0ffee begin lab'], 'c0ffee begin lab'],
    ['the end of another step', [...whole.slice(0, 2), 'c0ffee end lab 0 1'], 'c0ffee end lab 0 1'],
    ['an end without a status', [...whole.slice(0, 2), 'c0ffee end bpf'], 'c0ffee end bpf'],
    ['a status that is none', [...whole.slice(0, 2), 'c0ffee end bpf ok 1'], 'c0ffee end bpf ok 1'],
    ['an end without a time', [...whole.slice(0, 2), 'c0ffee end bpf 0'], 'c0ffee end bpf 0'],
    ['a time and more', [...whole.slice(0, 2), 'c0ffee end bpf 0 0 0'], 'c0ffee end bpf 0 0 0'],
    ['a boot and more', ['c0ffee boot 5.10 a b'], 'c0ffee boot 5.10 a b'],
    ['done before the last step', [...whole.slice(0, 3), 'c0ffee done'], 'c0ffee done'],
    ['done within a step', [...whole.slice(0, 4), 'c0ffee done'], 'c0ffee done'],
    ['done and more', [...whole.slice(0, 5), 'c0ffee done 0'], 'c0ffee done 0'],
    ['anything after done', [...whole, 'c0ffee done'], 'c0ffee done'],
    ['an unknown word', [...whole.slice(0, 1), 'c0ffee hello'], 'c0ffee hello'],
  ])('is not believed after %s', (_what, lines, nonsense) => {
    const { complete, nonsense: found } = heard(...lines);
    expect(found).toBe(nonsense);
    expect(heard(...lines, ...whole.slice(-3))).toMatchObject({ nonsense, complete });
  });
});
