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

/** Of three types, by how values match; classes, because there are many of them and each closure would cost. */
export type Condition = TextCondition | AddressCondition | PortCondition;

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
export const conditionsOf = (match: PolicyMatch): readonly Condition[] => [
  ...text('namespaces', false, match.namespaces),
  ...text('principals', false, match.principals?.map(withoutScheme)),
  ...text('serviceAccounts', false, match.serviceAccounts),
  ...text('trustDomains', false, match.trustDomains),
  ...blocks('ipBlocks', false, match.ipBlocks),
  ...blocks('destinationIps', false, match.destinationIps),
  ...ports(false, match.ports),
  ...text('namespaces', true, match.notNamespaces),
  ...text('principals', true, match.notPrincipals?.map(withoutScheme)),
  ...text('serviceAccounts', true, match.notServiceAccounts),
  ...text('trustDomains', true, match.notTrustDomains),
  ...blocks('ipBlocks', true, match.notIpBlocks),
  ...blocks('destinationIps', true, match.notDestinationIps),
  ...ports(true, match.notPorts),
];

const text = (
  field: TextField,
  negated: boolean,
  values: readonly string[] = [],
): readonly TextCondition[] => (values.length === 0 ? [] : [new TextCondition(field, negated, values)]);

const blocks = (
  field: AddressField,
  negated: boolean,
  values: readonly IpPrefix[] = [],
): readonly AddressCondition[] => (values.length === 0 ? [] : [new AddressCondition(field, negated, values)]);

const ports = (negated: boolean, values: readonly Port[] = []): readonly PortCondition[] =>
  values.length === 0 ? [] : [new PortCondition(negated, values)];

export class TextCondition {
  readonly type = 'text';
  readonly field: TextField;
  /** Holds when none of the values matches. */
  readonly negated: boolean;
  readonly values: readonly string[];
  readonly #index: PatternMap<true> | undefined;

  constructor(field: TextField, negated: boolean, values: readonly string[]) {
    this.field = field;
    this.negated = negated;
    this.values = values;
    this.#index = values.length > fewValues ? indexOf(values) : undefined;
  }

  holds(attributes: Attributes): boolean {
    const value = textOf(this.field, attributes);
    return (value !== undefined && this.#matches(value)) !== this.negated;
  }

  #matches(value: string): boolean {
    // Names of service accounts are no patterns.
    if (this.field === 'serviceAccounts' && this.#index === undefined) return this.values.includes(value);
    if (this.#index === undefined) return this.values.some((pattern) => matchesPattern(pattern, value));
    let found = false;
    this.#index.visit(value, () => (found = true));
    return found;
  }
}

function indexOf(patterns: readonly string[]): PatternMap<true> {
  const index = new PatternMap<true>();
  for (const pattern of patterns) index.at(pattern, () => true);
  return index;
}

export class AddressCondition {
  readonly type = 'address';
  readonly field: AddressField;
  readonly negated: boolean;
  readonly values: readonly PrefixWords[];
  readonly given: readonly IpPrefix[];
  readonly #index: PrefixMap<true> | undefined;

  constructor(field: AddressField, negated: boolean, given: readonly IpPrefix[]) {
    this.field = field;
    this.negated = negated;
    this.given = given;
    this.values = given.map(prefixWords);
    if (given.length <= fewValues) return;
    this.#index = new PrefixMap();
    for (const prefix of this.values) this.#index.at(prefix, () => true);
  }

  holds(attributes: Attributes): boolean {
    return this.#contains(addressOf(this.field, attributes)) !== this.negated;
  }

  #contains(address: AddressWords): boolean {
    if (this.#index === undefined) return this.values.some((prefix) => containsAddress(prefix, address));
    let found = false;
    this.#index.visit(address, () => (found = true));
    return found;
  }
}

export class PortCondition {
  readonly type = 'port';
  readonly field = 'ports';
  readonly negated: boolean;
  readonly values: readonly Port[];
  readonly #index: ReadonlySet<Port> | undefined;

  constructor(negated: boolean, values: readonly Port[]) {
    this.negated = negated;
    this.values = values;
    this.#index = values.length > fewValues ? new Set(values) : undefined;
  }

  holds({ facts: { port } }: Attributes): boolean {
    return (this.#index === undefined ? this.values.includes(port) : this.#index.has(port)) !== this.negated;
  }
}
