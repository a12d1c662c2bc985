/**
 * One condition of an authorization rule: a field, the values it lists, and whether a connection satisfies it.
 * Semantics are those of Istio's L4 policies (ztunnel): values are alternatives; a connection without a proved
 * identity satisfies no positive condition on identity, and every negative one.
 */
import type { IpPrefix, Port } from '../base/ip.ts';
import type { PolicyMatch } from '../model/policy.ts';
import { type AddressWords, containsAddress, type PrefixWords, prefixWords } from './address-words.ts';
import { type Attributes, withoutScheme } from './attributes.ts';
import { matchesPattern, PatternMap } from './pattern-map.ts';
import { PrefixMap } from './prefix-map.ts';

export type PolicyField = keyof PolicyMatch;
/** A field that says what must be so. */
export type PositiveField = Exclude<PolicyField, `not${string}`>;

/** The values of a condition in the form that the index of rules files them under. */
export type ConditionValues =
  | { readonly type: 'patterns'; readonly field: TextField; readonly values: readonly string[] }
  | {
      readonly type: 'prefixes';
      readonly field: AddressField;
      readonly values: readonly PrefixWords[];
      readonly given: readonly IpPrefix[];
    }
  | { readonly type: 'ports'; readonly values: readonly Port[] };

export interface Condition {
  readonly field: PositiveField;
  /** Holds when none of the values matches. */
  readonly negated: boolean;
  readonly values: ConditionValues;
  holds(attributes: Attributes): boolean;
}

/** Up to so many values are compared one by one; more get an index of their own. */
const fewValues = 8;

export type TextField = 'namespaces' | 'principals' | 'serviceAccounts' | 'trustDomains';
export type AddressField = 'ipBlocks' | 'destinationIps';

/** undefined: the connection has none, for lack of an identity. */
export function textOf(field: TextField, attributes: Attributes): string | undefined {
  switch (field) {
    case 'namespaces':
      return attributes.namespace;
    case 'principals':
      return attributes.principal;
    case 'serviceAccounts':
      return attributes.serviceAccount;
    case 'trustDomains':
      return attributes.trustDomain;
  }
}

export const addressOf = (field: AddressField, { source, destination }: Attributes): AddressWords =>
  field === 'ipBlocks' ? source : destination;

/** The conditions of a match, all of which must hold; a field without values is none. */
export function conditionsOf(match: PolicyMatch): readonly Condition[] {
  return [
    ...text('namespaces', match.namespaces),
    ...text('principals', match.principals?.map(withoutScheme)),
    ...text('serviceAccounts', match.serviceAccounts),
    ...text('trustDomains', match.trustDomains),
    ...blocks('ipBlocks', match.ipBlocks),
    ...blocks('destinationIps', match.destinationIps),
    ...ports(match.ports),
    ...text('namespaces', match.notNamespaces).map(negate),
    ...text('principals', match.notPrincipals?.map(withoutScheme)).map(negate),
    ...text('serviceAccounts', match.notServiceAccounts).map(negate),
    ...text('trustDomains', match.notTrustDomains).map(negate),
    ...blocks('ipBlocks', match.notIpBlocks).map(negate),
    ...blocks('destinationIps', match.notDestinationIps).map(negate),
    ...ports(match.notPorts).map(negate),
  ];
}

const negate = (condition: Condition): Condition => ({
  ...condition,
  negated: true,
  holds: (attributes) => !condition.holds(attributes),
});

function text(field: TextField, values: readonly string[] = []): readonly Condition[] {
  if (values.length === 0) return [];
  const matches = field === 'serviceAccounts' ? exactMatcher(values) : patternMatcher(values);
  return [
    {
      field,
      negated: false,
      values: { type: 'patterns', field, values },
      holds(attributes) {
        const value = textOf(field, attributes);
        return value !== undefined && matches(value);
      },
    },
  ];
}

function exactMatcher(values: readonly string[]): (value: string) => boolean {
  if (values.length <= fewValues) return (value) => values.includes(value);
  const all = new Set(values);
  return (value) => all.has(value);
}

function patternMatcher(patterns: readonly string[]): (value: string) => boolean {
  if (patterns.length <= fewValues) {
    return (value) => patterns.some((pattern) => matchesPattern(pattern, value));
  }
  const all = new PatternMap<true>();
  for (const pattern of patterns) all.at(pattern, () => true);
  return (value) => {
    let found = false;
    all.visit(value, () => (found = true));
    return found;
  };
}

function blocks(field: AddressField, values: readonly IpPrefix[] = []): readonly Condition[] {
  if (values.length === 0) return [];
  const prefixes = values.map(prefixWords);
  const contains = prefixMatcher(prefixes);
  return [
    {
      field,
      negated: false,
      values: { type: 'prefixes', field, values: prefixes, given: values },
      holds: (attributes) => contains(addressOf(field, attributes)),
    },
  ];
}

function prefixMatcher(prefixes: readonly PrefixWords[]): (address: AddressWords) => boolean {
  if (prefixes.length <= fewValues) {
    return (address) => prefixes.some((prefix) => containsAddress(prefix, address));
  }
  const all = new PrefixMap<true>();
  for (const prefix of prefixes) all.at(prefix, () => true);
  return (address) => {
    let found = false;
    all.visit(address, () => (found = true));
    return found;
  };
}

function ports(values: readonly Port[] = []): readonly Condition[] {
  if (values.length === 0) return [];
  const wanted = values.length <= fewValues ? values : new Set(values);
  const includes = (port: Port): boolean =>
    wanted instanceof Set ? wanted.has(port) : wanted.includes(port);
  return [
    {
      field: 'ports',
      negated: false,
      values: { type: 'ports', values },
      holds: ({ facts }) => includes(facts.port),
    },
  ];
}
