/** An error as a person reads it: what happened, why, what to do next. */
import { errorCodes, type MeshError } from '../base/errors.ts';
import type { Unreachable } from './node-handle.ts';
import { printableLines } from './printable.ts';
import type { Screen } from './screen.ts';

const maxCauses = 5;

export function errorText(error: MeshError, paint: Screen['paintHint']): string {
  const lines = [`${paint('red', 'error:')} ${printableLines(error.message)}`];
  for (const cause of causes(error)) lines.push(`  why:  ${printableLines(cause)}`);
  if (error.hint !== undefined) lines.push(`  next: ${printableLines(error.hint)}`);
  lines.push(paint('dim', `  code: ${error.code} (${errorCodes[error.code]})`));
  return lines.join('\n');
}

/** Causes that say more than the message already does. */
function causes(error: MeshError): readonly string[] {
  const found: string[] = [];
  let { cause } = error;
  while (cause instanceof Error && found.length < maxCauses) {
    if (!error.message.includes(cause.message)) found.push(cause.message);
    ({ cause } = cause);
  }
  return found;
}

export function unreachableText({ node, error }: Unreachable): string {
  const next = error.hint === undefined ? '' : ` (${error.hint})`;
  return `not reached: node ${node}: ${error.message}${next}`;
}
