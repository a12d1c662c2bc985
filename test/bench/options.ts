/** The command line of the bench. Pure. */
import { parseArgs } from 'node:util';
import type { Row } from './rows/row.ts';
import { type VariantId, variantIds } from './variants/variant.ts';

export interface Options {
  readonly help: boolean;
  readonly rounds: number;
  readonly seconds: number;
  readonly rows: readonly Row[];
  readonly variants: readonly VariantId[];
  readonly json: string | undefined;
  /** Path of a ztunnel binary. */
  readonly ztunnel: string | undefined;
}

const full = { rounds: 3, seconds: 4 } as const;
const quick = { rounds: 1, seconds: 2 } as const;
const most = { rounds: 20 } as const;

export const usage = (
  rows: readonly Row[],
): string => `usage: make bench                    the full run, 15 to 20 minutes
       npm run bench -- [options]

Measures no mesh, mesh-ebpf, an HAProxy mTLS pair, and a ztunnel pair if ZTUNNEL=path is given, in turn, on two nodes
of the lab on this machine; and within a node no mesh, the kernel path, accelerated or not, and HBONE (rows and variants node-...), at the
end in a mesh of 1 000 policies and 10 000 workloads. Needs root, and a machine that does nothing else. A missed target is a result, not a
failure: the exit code is 1 only when something could not be measured.

  --quick            one round of short measurements, under 6 minutes
  --rounds N         rounds whose medians are shown (${full.rounds})
  --only ROW         only this row; may be repeated: ${rows.map(({ id }) => id).join(', ')}
  --variant NAME     only this variant; may be repeated: ${variantIds.join(', ')}
  --json FILE        write everything that was measured to FILE as well
  --help             this text
`;

/** @throws Error with a sentence for the user */
export function parseOptions(
  argv: readonly string[],
  allRows: readonly Row[],
  ztunnel: string | undefined,
): Options {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      help: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      only: { type: 'string', multiple: true },
      variant: { type: 'string', multiple: true },
      json: { type: 'string' },
    },
  });
  const size = values.quick ? quick : full;
  return {
    help: values.help,
    rounds: values.rounds === undefined ? size.rounds : parseRounds(values.rounds),
    seconds: size.seconds,
    rows: choose('row', allRows, ({ id }) => id, values.only),
    variants: chooseVariants(values.variant, ztunnel),
    json: values.json,
    ztunnel,
  };
}

function parseRounds(text: string): number {
  const rounds = /^\d+$/.test(text) ? Number(text) : 0;
  if (rounds >= 1 && rounds <= most.rounds) return rounds;
  throw new Error(`--rounds: "${text}" is not a number from 1 to ${most.rounds}`);
}

function chooseVariants(
  wanted: readonly string[] | undefined,
  ztunnel: string | undefined,
): readonly VariantId[] {
  const chosen = choose('variant', variantIds, (id) => id, wanted);
  if (ztunnel !== undefined) return chosen;
  if (wanted?.includes('ztunnel') === true) throw new Error('--variant ztunnel needs ZTUNNEL=path');
  return chosen.filter((id) => id !== 'ztunnel');
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
  if (unknown !== undefined) {
    throw new Error(`there is no ${what} "${unknown}"; there are ${names.join(', ')}`);
  }
  return all.filter((item) => wanted?.includes(nameOf(item)) ?? true);
}
