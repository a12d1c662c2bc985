/**
 * From who was seen to talk to whom to policies that allow exactly that: for the pods that one selector selects, each
 * source with the ports that it used. What was denied is set apart, as a question. Pure.
 */
import { type IpAddress, type IpPrefix, isIpv4, type Port } from '../../base/ip.ts';
import type { SpiffeId } from '../../model/identity.ts';
import {
  type AuthorizationPolicy,
  policyKey,
  type PolicyMatch,
  type PolicyRule,
} from '../../model/policy.ts';
import { withoutScheme } from '../attributes.ts';
import type { Selection } from './selectors.ts';

/** Connections of one source to the pods of one owner on one port. */
export interface SeenPair {
  readonly allowed: boolean;
  /** Proved; undefined for plaintext, which is known by its address. */
  readonly identity: SpiffeId | undefined;
  readonly sourceIp: IpAddress;
  /** `NAMESPACE/OWNER` of the address, for people. */
  readonly sourceName: string | undefined;
  readonly namespace: string;
  /** `KIND/NAME`. */
  readonly owner: string;
  /** undefined: no pod of the owner is there any more. */
  readonly selection: Selection | undefined;
  readonly port: Port;
  readonly count: number;
  /** Milliseconds since the epoch. */
  readonly firstSeen: number;
  readonly lastSeen: number;
}

/** How many connections, and when. */
export interface Evidence {
  readonly count: number;
  readonly firstSeen: number;
  readonly lastSeen: number;
}

/** Sources that used the same ports. */
export interface SuggestedRule extends Evidence {
  /** Without `spiffe://`; empty for plaintext. */
  readonly principals: readonly string[];
  /** Of plaintext. */
  readonly ipBlocks: readonly IpPrefix[];
  readonly ports: readonly Port[];
  /** Who the addresses were. */
  readonly names: readonly string[];
  /** All of it was. */
  readonly denied?: boolean;
}

export interface Suggestion extends Evidence {
  readonly namespace: string;
  readonly name: string;
  /** `KIND/NAME`. */
  readonly owners: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  /** Owners that the labels select though nothing was seen of them. */
  readonly others: readonly string[];
  readonly rules: readonly SuggestedRule[];
  /** To allow these as well, add them by hand. */
  readonly denied: readonly SuggestedRule[];
}

export interface Suggestions {
  /** By namespace and name. */
  readonly policies: readonly Suggestion[];
  /** Owners of pods that no labels select, or that are gone. */
  readonly unselectable: readonly string[];
}

export interface SuggestOptions {
  /** Propose what was denied, too, in rules of its own. */
  readonly allowDenied?: boolean;
}

export function suggest(pairs: readonly SeenPair[], options: SuggestOptions = {}): Suggestions {
  const groups = Map.groupBy(pairs, (pair) => selectorKey(pair));
  const unselectable = new Set(
    (groups.get(undefined) ?? []).map(({ namespace, owner }) => `${namespace} ${owner}`),
  );
  groups.delete(undefined);
  const taken = new Set<string>();
  const policies = [...groups.values()]
    .toSorted((a, b) => (ownersOf(a).join() < ownersOf(b).join() ? -1 : 1))
    .map((own) => suggestionOf(own, taken, options));
  return { policies, unselectable: [...unselectable].toSorted() };
}

function selectorKey({ namespace, selection }: SeenPair): string | undefined {
  if (selection?.labels === undefined) return undefined;
  const entries = Object.entries(selection.labels).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([namespace, entries]);
}

function suggestionOf(
  pairs: readonly SeenPair[],
  taken: Set<string>,
  { allowDenied = false }: SuggestOptions,
): Suggestion {
  const rules = rulesOf(pairs.filter(({ allowed }) => allowed));
  const denied = rulesOf(pairs.filter(({ allowed }) => !allowed)).map((rule) => ({ ...rule, denied: true }));
  const owners = ownersOf(pairs);
  const namespace = pairs[0]?.namespace ?? '';
  const others = new Set(pairs.flatMap(({ selection }) => selection?.others ?? []));
  return {
    namespace,
    name: nameFor(owners[0] ?? '', namespace, taken),
    owners,
    labels: pairs[0]?.selection?.labels ?? {},
    others: [...others].filter((other) => !owners.includes(other)).toSorted(),
    rules: allowDenied ? [...rules, ...denied] : rules,
    denied: allowDenied ? [] : denied,
    ...evidence(pairs),
  };
}

const ownersOf = (pairs: readonly SeenPair[]): readonly string[] =>
  [...new Set(pairs.map(({ owner }) => owner))].toSorted();

const maxNameLength = 253;

function nameFor(owner: string, namespace: string, taken: Set<string>): string {
  const base = `${owner.split('/')[1] ?? owner}-seen`.slice(-maxNameLength + 4);
  let name = base;
  for (let i = 2; taken.has(`${namespace}/${name}`); i++) name = `${base}-${i}`;
  taken.add(`${namespace}/${name}`);
  return name;
}

/** A rule for all sources that used the same ports; those with an identity apart from those without. */
function rulesOf(pairs: readonly SeenPair[]): readonly SuggestedRule[] {
  const sources = [...Map.groupBy(pairs, ({ identity, sourceIp }) => identity ?? sourceIp).values()];
  const groups = Map.groupBy(sources, ([first, ...more]) => {
    const ports = portsOf(first === undefined ? more : [first, ...more]);
    return `${first?.identity === undefined ? 'plaintext' : 'proved'} ${ports.join(',')}`;
  });
  return [...groups].toSorted(([a], [b]) => (a < b ? 1 : -1)).map(([, own]) => ruleOf(own.flat()));
}

function ruleOf(pairs: readonly SeenPair[]): SuggestedRule {
  const plain = pairs.filter(({ identity }) => identity === undefined);
  const identities = new Set(
    pairs.flatMap(({ identity }) => (identity === undefined ? [] : [withoutScheme(identity)])),
  );
  const addresses = new Set(plain.map(({ sourceIp }) => sourceIp));
  return {
    principals: [...identities].toSorted(),
    ipBlocks: [...addresses].toSorted().map((base) => ({ base, length: isIpv4(base) ? 32 : 128 })),
    ports: portsOf(pairs),
    names: [...new Set(plain.flatMap(({ sourceName }) => sourceName ?? []))].toSorted(),
    ...evidence(pairs),
  };
}

const portsOf = (pairs: readonly SeenPair[]): readonly Port[] =>
  [...new Set(pairs.map(({ port }) => port))].toSorted((a, b) => a - b);

const evidence = (pairs: readonly SeenPair[]): Evidence => ({
  count: pairs.reduce((sum, { count }) => sum + count, 0),
  firstSeen: pairs.reduce((first, pair) => Math.min(first, pair.firstSeen), Number.MAX_SAFE_INTEGER),
  lastSeen: pairs.reduce((last, pair) => Math.max(last, pair.lastSeen), 0),
});

/** The policy that it proposes. One without rules allows nothing. */
export const policyOf = ({ namespace, name, labels, rules }: Suggestion): AuthorizationPolicy => ({
  key: policyKey(namespace, name),
  namespace,
  name,
  action: 'allow',
  scope: { type: 'selector', labels },
  rules: rules.map(policyRule),
});

const policyRule = ({ principals, ipBlocks, ports }: SuggestedRule): PolicyRule => {
  // Of the same address, what proves an identity was not seen.
  const source: PolicyMatch = principals.length > 0 ? { principals } : { ipBlocks, notPrincipals: ['*'] };
  return { from: [source], to: [{ ports }] };
};
