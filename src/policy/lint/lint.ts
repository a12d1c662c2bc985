/** Mistakes in policies that are no errors: what they can be, family by family. Pure; says nothing it cannot show. */
import { breadth } from './breadth.ts';
import { type Check, contextOf } from './context.ts';
import { contradictions } from './contradictions.ts';
import { egress } from './egress.ts';
import type { Finding } from './finding.ts';
import type { LintInput } from './input.ts';
import { lockout } from './lockout.ts';
import { networkPolicies } from './network-policies.ts';
import { neverMatches } from './never-matches.ts';
import { shadowed } from './shadowed.ts';
import { spelling } from './spelling.ts';

const checks: readonly Check[] = [
  neverMatches,
  contradictions,
  shadowed,
  breadth,
  spelling,
  egress,
  networkPolicies,
  lockout,
];

/** By object, in the order of the checks. */
export function lint(input: LintInput): readonly Finding[] {
  const context = contextOf(input);
  const all = checks.flatMap((check) => check(context));
  return all.toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : nameOf(a) > nameOf(b) ? 1 : 0));
}

const nameOf = ({ object: { kind, namespace, name } }: Finding): string => `${namespace}/${name}/${kind}`;
