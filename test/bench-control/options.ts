/** The command line of the control bench. Pure. */
import { parseArgs } from 'node:util';
import { serviceCount } from './objects.ts';

export interface Options {
  readonly help: boolean;
  /** Numbers of pods, ascending. */
  readonly sizes: readonly number[];
  /** Starts of the node program at each size, of each sort. */
  readonly starts: number;
  readonly changes: number;
  /** Times that the label is set. */
  readonly labels: number;
  readonly restSeconds: number;
  readonly json: string | undefined;
}

const full = { sizes: [1_000, 10_000], starts: 3, changes: 400, labels: 9, restSeconds: 30 } as const;
const quick = { ...full, starts: 1, changes: 100, labels: 3, restSeconds: 10 } as const;

export const usage = `usage: make bench-control                    the full run, about 5 minutes
       npm run bench-control -- [options]

Measures what following the API costs one node program, as it is shipped: with a real API server and etcd, real BPF
maps, ${serviceCount} Services, pods that are API objects only, and seven that run. Needs root, and a machine that does
nothing else. A missed target is a result, not a failure: the exit code is 1 only when something could not be measured.

  --quick            fewer repetitions
  --pods N           a number of pods, from ${serviceCount} up; may be repeated (${full.sizes.join(', ')})
  --json FILE        write everything that was measured to FILE as well
  --help             this text
`;

/** @throws Error with a sentence for the user */
export function parseOptions(argv: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      help: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      pods: { type: 'string', multiple: true },
      json: { type: 'string' },
    },
  });
  const { help, json } = values;
  const base = values.quick ? quick : full;
  const sizes = (values.pods?.map(parsePods) ?? base.sizes).toSorted((a, b) => a - b);
  return { ...base, help, json, sizes: [...new Set(sizes)] };
}

/** Past this the addresses of the bench's pods would run out. */
const most = 200_000;

/** Every Service has a pod. */
function parsePods(text: string): number {
  const pods = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (pods >= serviceCount && pods <= most) return pods;
  throw new Error(`--pods: "${text}" is not a number from ${serviceCount} to ${most}`);
}
