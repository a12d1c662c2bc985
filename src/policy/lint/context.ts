/** What every family of checks gets: the input, what was worked out from it once, and the rules, compiled. */
import type { AuthorizationPolicy } from '../../model/policy.ts';
import { type CompiledRule, compileRules } from '../rules.ts';
import { scopedAccess } from './access.ts';
import type { Finding } from './finding.ts';
import type { LintInput } from './input.ts';
import { PodFacts } from './pods.ts';

export interface LintContext {
  readonly input: LintInput;
  readonly pods: PodFacts;
  /** By key. */
  readonly policies: readonly AuthorizationPolicy[];
  readonly rules: readonly CompiledRule[];
}

export type Check = (context: LintContext) => readonly Finding[];

export function contextOf(input: LintInput): LintContext {
  const { view } = input;
  const policies = [...view.policies.values()].toSorted((a, b) => (a.key < b.key ? -1 : 1));
  const accesses = [...view.access.values()].map(scopedAccess);
  const pods = new PodFacts(input, [...policies, ...view.peerAuthentications.values(), ...accesses]);
  return { input, pods, policies, rules: policies.flatMap(compileRules) };
}
