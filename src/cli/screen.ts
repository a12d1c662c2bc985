/**
 * What a command says, and where: data on stdout, everything else on stderr, colour only where wanted. Colour never
 * carries meaning alone.
 */
import { styleText } from 'node:util';
import type { CliEnv, OutputStream } from './env.ts';
import { printableLines } from './printable.ts';

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';
export type Paint = (style: Style, text: string) => string;

export const colorModes = ['auto', 'always', 'never'] as const;
export type ColorMode = (typeof colorModes)[number];

export interface Screen {
  /** A line of data, which must be printable already. */
  data(line: string): void;
  /** A hint or explanation for the person, made printable here. */
  hint(text: string): void;
  /** For stdout / stderr. */
  readonly paint: Paint;
  readonly paintHint: Paint;
  /** Width to lay tables out for. */
  readonly columns: number | undefined;
}

export function createScreen(env: CliEnv, mode: ColorMode): Screen {
  const paintHint = painter(colored(env, env.stderr, mode));
  return {
    data: (line) => env.stdout.write(`${line}\n`),
    hint: (text) => env.stderr.write(`${paintHint('dim', printableLines(text))}\n`),
    paint: painter(colored(env, env.stdout, mode)),
    paintHint,
    columns: env.stdout.isTTY ? env.stdout.columns : undefined,
  };
}

/** https://no-color.org and https://bixense.com/clicolors; a flag outranks both. */
function colored({ variables }: CliEnv, stream: OutputStream, mode: ColorMode): boolean {
  if (mode !== 'auto') return mode === 'always';
  if (isSet(variables.NO_COLOR)) return false;
  if (isSet(variables.CLICOLOR_FORCE) && variables.CLICOLOR_FORCE !== '0') return true;
  return stream.isTTY && variables.TERM !== 'dumb';
}

const isSet = (variable: string | undefined): boolean => variable !== undefined && variable !== '';

const painter =
  (on: boolean): Paint =>
  (style, text) =>
    on && text !== '' ? styleText(style, text, { validateStream: false }) : text;
