/**
 * What the guest says of itself on its second serial line, read strictly: its own mark before each line, and steps that
 * begin and end one after the other, in the order they were given. Anything else is a failure, never a guess. Pure.
 */

export interface StepEnd {
  readonly step: string;
  /** The command's exit status; 124 or 137: it was ended because its time was up. */
  readonly status: number;
  readonly seconds: number;
}

export interface Transcript {
  /** What `uname -r` said; undefined until it has booted. */
  readonly release: string | undefined;
  readonly ended: readonly StepEnd[];
  readonly running: string | undefined;
  /** It has done all its steps and said so. */
  readonly complete: boolean;
  /** The first line that should not be there; what follows it is not looked at. */
  readonly nonsense: string | undefined;
}

/** What is to be heard. */
export interface Expected {
  /** Made anew for each boot: nothing that a test prints looks like it. */
  readonly nonce: string;
  readonly steps: readonly string[];
}

export const silence: Transcript = {
  release: undefined,
  ended: [],
  running: undefined,
  complete: false,
  nonsense: undefined,
};

/** The transcript with one line more. */
export function hear(expected: Expected, heard: Transcript, line: string): Transcript {
  if (heard.nonsense !== undefined) return heard;
  const [nonce, word, ...rest] = line.split(' ');
  const next = nonce === expected.nonce ? follow(expected, heard, word ?? '', rest) : undefined;
  return next ?? { ...heard, nonsense: line };
}

function follow(
  { steps }: Expected,
  heard: Transcript,
  word: string,
  [first, second, third, ...more]: readonly string[],
): Transcript | undefined {
  const { release, ended, running, complete } = heard;
  const due = steps[ended.length];
  if (complete || more.length > 0 || (third !== undefined && word !== 'end')) return undefined;
  if (word === 'boot') {
    return release === undefined && first !== undefined && second === undefined
      ? { ...heard, release: first }
      : undefined;
  }
  if (release === undefined) return undefined;
  if (word === 'begin') {
    const isDue = running === undefined && first !== undefined && first === due && second === undefined;
    return isDue ? { ...heard, running: first } : undefined;
  }
  if (word === 'end') {
    const [status, seconds] = [parseCount(second, 3), parseCount(third, 5)];
    if (running === undefined || first !== running) return undefined;
    if (status === undefined || seconds === undefined) return undefined;
    return { ...heard, running: undefined, ended: [...ended, { step: running, status, seconds }] };
  }
  const isDone = word === 'done' && running === undefined && due === undefined && first === undefined;
  return isDone ? { ...heard, complete: true } : undefined;
}

const parseCount = (text: string | undefined, digits: number): number | undefined =>
  text !== undefined && text.length <= digits && /^\d+$/.test(text) ? Number(text) : undefined;
