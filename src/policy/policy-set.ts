/**
 * The policies in force for one workload, compiled. Made of parts, because a thousand pods share their namespace's
 * policies and the mesh's, and those of a selector: each part is compiled once, and of a change only what changed.
 */
import type { Verdict } from '../model/connection.ts';
import { type AuthorizationPolicy, type PolicyAction, policyActions } from '../model/policy.ts';
import { deleteByKey, insertByKey } from './by-key.ts';
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

/** The policies of one action, by key. */
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

export const compilePart = (policies: readonly AuthorizationPolicy[], compiler: RuleCompiler): PolicyPart =>
  new LivePart(policies, compiler);

/** A part whose policies come and go. Whoever holds it sees the newest. */
export class LivePart implements PolicyPart {
  readonly enforced: LiveLayers;
  #rehearsed: LiveLayers | undefined;
  /** By key. */
  readonly policies: readonly AuthorizationPolicy[];
  readonly #policies: AuthorizationPolicy[];
  readonly #compiler: RuleCompiler;
  #rehearsing: number;

  constructor(policies: readonly AuthorizationPolicy[], compiler: RuleCompiler) {
    this.#compiler = compiler;
    this.#policies = [...policies];
    this.policies = this.#policies;
    this.#rehearsing = policies.filter(isRehearsed).length;
    this.enforced = layersOf(
      policies.filter((policy) => !isRehearsed(policy)),
      compiler,
    );
    this.#rehearsed = this.#rehearsing > 0 ? layersOf(policies, compiler) : undefined;
  }

  get rehearsed(): Layers | undefined {
    return this.#rehearsed;
  }

  add(policy: AuthorizationPolicy): void {
    insertByKey(this.#policies, policy);
    if (isRehearsed(policy)) this.#rehearsing += 1;
    else this.enforced[policy.action].add(policy);
    this.#rehearsed?.[policy.action].add(policy);
    if (this.#rehearsing > 0) this.#rehearsed ??= layersOf(this.#policies, this.#compiler);
  }

  delete(policy: AuthorizationPolicy): void {
    deleteByKey(this.#policies, policy);
    if (isRehearsed(policy)) this.#rehearsing -= 1;
    else this.enforced[policy.action].delete(policy);
    this.#rehearsed?.[policy.action].delete(policy);
    if (this.#rehearsing === 0) this.#rehearsed = undefined;
  }
}

const isRehearsed = ({ dryRun }: AuthorizationPolicy): boolean => dryRun === true;

class LiveLayer implements Layer {
  readonly index: RuleIndex;
  readonly policies: readonly AuthorizationPolicy[];
  readonly #policies: AuthorizationPolicy[];
  readonly #compiler: RuleCompiler;

  constructor(policies: readonly AuthorizationPolicy[], compiler: RuleCompiler) {
    this.#policies = [...policies];
    this.policies = this.#policies;
    this.#compiler = compiler;
    this.index = new RuleIndex(policies.flatMap(compiler));
  }

  add(policy: AuthorizationPolicy): void {
    insertByKey(this.#policies, policy);
    for (const rule of this.#compiler(policy)) this.index.add(rule);
  }

  delete(policy: AuthorizationPolicy): void {
    deleteByKey(this.#policies, policy);
    for (const rule of this.#compiler(policy)) this.index.delete(rule);
  }
}

type LiveLayers = Readonly<Record<PolicyAction, LiveLayer>>;

function layersOf(policies: readonly AuthorizationPolicy[], compiler: RuleCompiler): LiveLayers {
  const layers = policyActions.map((action) => {
    const own = policies.filter((policy) => policy.action === action);
    return [action, new LiveLayer(own, compiler)] as const;
  });
  return Object.fromEntries(layers) as Record<PolicyAction, LiveLayer>;
}
