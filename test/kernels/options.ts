/** The command line of the matrix. Pure. */
import { parseArgs } from 'node:util';
import { type Kernel, kernels } from './kernels.ts';
import { type TestFile, testFiles } from './steps.ts';

export interface Options {
  readonly help: boolean;
  readonly kernels: readonly Kernel[];
  readonly tests: readonly TestFile[];
  /** Look for newer packages than those in the cache. */
  readonly update: boolean;
  /** Of the emulated machine. */
  readonly cpus: number;
  /** Machines at a time. */
  readonly parallel: number;
  /** For each kernel. */
  readonly timeoutMinutes: number;
}

const timeoutMinutes = { usual: 60, most: 240 } as const;
/** Two that are not run at the same time wait for each other, so two machines of one each make more of a host of two. */
const cpus = { usual: 1, most: 8 } as const;
const parallel = { usual: 2, most: 8 } as const;

export const usage = `usage: make test-kernels
       npm run kernels -- [options]

Boots Debian's kernels in qemu, without KVM, and runs the tests of the BPF programs and a small lab on each. What each
said and did is in build/kernels/. Exit code 1 when anything is wrong.

  --kernel SERIES    only this one; may be repeated: ${kernels.map(({ series }) => series).join(', ')}
  --only TEST        only this test file; may be repeated: ${testFiles.map(({ name }) => name).join(', ')}
  --update           look for newer packages of the kernels than those in the cache
  --cpus NUMBER      of an emulated machine (${cpus.usual})
  --parallel NUMBER  machines at a time (${parallel.usual}); each takes 2 GiB, and somewhat more than a processor of the host
  --timeout MINUTES  for each kernel (${timeoutMinutes.usual})
  --help             this text
`;

/** @throws Error with a sentence for the user */
export function parseOptions(argv: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      help: { type: 'boolean', default: false },
      kernel: { type: 'string', multiple: true },
      only: { type: 'string', multiple: true },
      update: { type: 'boolean', default: false },
      cpus: { type: 'string' },
      parallel: { type: 'string' },
      timeout: { type: 'string' },
    },
  });
  return {
    help: values.help,
    kernels: choose('kernel', kernels, ({ series }) => series, values.kernel),
    tests: choose('test', testFiles, ({ name }) => name, values.only),
    update: values.update,
    cpus: parseNumber('--cpus', values.cpus, cpus),
    parallel: parseNumber('--parallel', values.parallel, parallel),
    timeoutMinutes: parseNumber('--timeout', values.timeout, timeoutMinutes),
  };
}

function parseNumber(
  flag: string,
  text: string | undefined,
  { usual, most }: { readonly usual: number; readonly most: number },
): number {
  if (text === undefined) return usual;
  const number = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (number >= 1 && number <= most) return number;
  throw new Error(`${flag}: "${text}" is not a number from 1 to ${most}`);
}

/** Those that were asked for, in their own order; all when none was. */
function choose<T>(
  what: string,
  all: readonly T[],
  nameOf: (item: T) => string,
  wanted: readonly string[] | undefined,
): readonly T[] {
  const names = all.map(nameOf);
  const unknown = wanted?.find((name) => !names.includes(name));
  if (unknown !== undefined)
    throw new Error(`there is no ${what} "${unknown}"; there are ${names.join(', ')}`);
  return all.filter((item) => wanted?.includes(nameOf(item)) ?? true);
}
