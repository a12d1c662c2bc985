/**
 * The policies in force for one workload, compiled. Made of parts, because a thousand pods share their namespace's
 * policies and the mesh's: each part is compiled once, and again only when one of its policies changes.
 */
import type { Verdict } from '../model/connection.ts';
import type { AuthorizationPolicy, PolicyAction } from '../model/policy.ts';
import type { PeerAuthentications } from './peer-authentication.ts';
import { RuleIndex } from './rule-index.ts';
import { type CompiledRule, compileRules } from './rules.ts';

export interface PolicySet {
  readonly parts: readonly PolicyPart[];
  readonly peers: PeerAuthentications;
  /** Of what no policy decides, where no ALLOW policy applies; undefined: it is allowed. */
  readonly inboundDefault: Verdict | undefined;
}

export interface PolicyPart {
  /** By key. */
  readonly policies: readonly AuthorizationPolicy[];
  readonly enforced: Layers;
  /** With the policies in dry run as if they were enforced; undefined if there is none. */
  readonly rehearsed: Layers | undefined;
}

export type Layers = Readonly<Record<PolicyAction, Layer>>;

/** The policies of one action. */
export interface Layer {
  readonly policies: readonly AuthorizationPolicy[];
  readonly index: RuleIndex;
}

export type RuleCompiler = (policy: AuthorizationPolicy) => readonly CompiledRule[];

/** Compiles a policy once for as long as it stays the same. */
export function rememberingCompiler(): RuleCompiler {
  const known = new WeakMap<AuthorizationPolicy, readonly CompiledRule[]>();
  return (policy) => {
    const rules = known.get(policy) ?? compileRules(policy);
    known.set(policy, rules);
    return rules;
  };
}

export function compilePart(policies: readonly AuthorizationPolicy[], compiler: RuleCompiler): PolicyPart {
  const enforced = policies.filter(({ dryRun }) => dryRun !== true);
  return {
    policies,
    enforced: layersOf(enforced, compiler),
    rehearsed: enforced.length === policies.length ? undefined : layersOf(policies, compiler),
  };
}

function layersOf(policies: readonly AuthorizationPolicy[], compiler: RuleCompiler): Layers {
  const layer = (wanted: PolicyAction): Layer => {
    const own = policies.filter(({ action }) => action === wanted);
    return { policies: own, index: new RuleIndex(own.flatMap(compiler)) };
  };
  return { custom: layer('custom'), deny: layer('deny'), allow: layer('allow'), audit: layer('audit') };
}
