/**
 * One condition of an authorization rule: a field, the values it lists, and whether a connection satisfies it.
 * Semantics are those of Istio's L4 policies (ztunnel): values are alternatives; a connection without a proved
 * identity satisfies no positive condition on identity, and every negative one.
 */
import { type IpAddress, type IpPrefix, type Port, prefixContains } from '../base/ip.ts';
import { identityParts, type SpiffeId } from '../model/identity.ts';
import type { PolicyRule } from '../model/mesh.ts';

/** What a decision may depend on: proved by TLS or by TCP, nothing the client merely said. */
export interface AccessFacts {
  /** From the certificate; undefined for plaintext. */
  readonly identity: SpiffeId | undefined;
  readonly sourceIp: IpAddress;
  /** On the destination workload. */
  readonly port: Port;
}

/** The facts in the forms that fields compare; identity forms are undefined without an identity. */
export interface Attributes {
  readonly principal: string | undefined;
  readonly namespace: string | undefined;
  readonly serviceAccount: string | undefined;
  readonly sourceIp: IpAddress;
  readonly port: Port;
}

export type RuleField = keyof PolicyRule;

export interface Condition {
  readonly field: RuleField;
  readonly values: readonly string[];
  holds(attributes: Attributes): boolean;
  /** The connection's value that the field looks at; undefined if it has none. */
  actual(attributes: Attributes): string | undefined;
}

const scheme = 'spiffe://';

export function attributesOf({ identity, sourceIp, port }: AccessFacts): Attributes {
  if (identity === undefined) {
    return { principal: undefined, namespace: undefined, serviceAccount: undefined, sourceIp, port };
  }
  const { namespace, serviceAccount } = identityParts(identity);
  return {
    principal: identity.slice(scheme.length),
    namespace,
    serviceAccount: `${namespace}/${serviceAccount}`,
    sourceIp,
    port,
  };
}

/** The conditions of a rule, all of which must hold; a field without values is no condition. */
export function conditionsOf(rule: PolicyRule): readonly Condition[] {
  const principals = rule.principals?.map(withoutScheme);
  const notPrincipals = rule.notPrincipals?.map(withoutScheme);
  return [
    ...text('namespaces', rule.namespaces, (a) => a.namespace),
    ...text('principals', principals, (a) => a.principal),
    ...serviceAccounts('serviceAccounts', rule.serviceAccounts),
    ...blocks('ipBlocks', rule.ipBlocks),
    ...ports('ports', rule.ports),
    ...text('notNamespaces', rule.notNamespaces, (a) => a.namespace).map(negated),
    ...text('notPrincipals', notPrincipals, (a) => a.principal).map(negated),
    ...serviceAccounts('notServiceAccounts', rule.notServiceAccounts).map(negated),
    ...blocks('notIpBlocks', rule.notIpBlocks).map(negated),
    ...ports('notPorts', rule.notPorts).map(negated),
  ];
}

/** Users write both forms; an identity is compared without the scheme. */
const withoutScheme = (pattern: string): string =>
  pattern.startsWith(scheme) ? pattern.slice(scheme.length) : pattern;

const negated = (condition: Condition): Condition => ({
  ...condition,
  holds: (attributes) => !condition.holds(attributes),
});

type Attribute = (attributes: Attributes) => string | undefined;

function text(field: RuleField, values: readonly string[] = [], actual: Attribute): readonly Condition[] {
  if (values.length === 0) return [];
  const matches = stringMatcher(values);
  const holds = (attributes: Attributes): boolean => {
    const value = actual(attributes);
    return value !== undefined && matches(value);
  };
  return [{ field, values, holds, actual }];
}

const isSuffix = (pattern: string): boolean => pattern.startsWith('*');
const isPrefix = (pattern: string): boolean => pattern.endsWith('*') && !isSuffix(pattern);

/** `abc` itself, `abc*` a prefix, `*abc` a suffix, `*` anything at all; other asterisks are literal. */
function stringMatcher(patterns: readonly string[]): (value: string) => boolean {
  const prefixes = patterns.filter(isPrefix).map((pattern) => pattern.slice(0, -1));
  const suffixes = patterns.filter(isSuffix).map((pattern) => pattern.slice(1));
  const exact = new Set(patterns.filter((pattern) => !isPrefix(pattern) && !isSuffix(pattern)));
  return (value) =>
    exact.has(value) ||
    prefixes.some((prefix) => value.startsWith(prefix)) ||
    suffixes.some((suffix) => value.endsWith(suffix));
}

function serviceAccounts(field: RuleField, values: readonly string[] = []): readonly Condition[] {
  if (values.length === 0) return [];
  const wanted = new Set(values);
  const holds = ({ serviceAccount }: Attributes): boolean =>
    serviceAccount !== undefined && wanted.has(serviceAccount);
  return [{ field, values, holds, actual: (attributes) => attributes.serviceAccount }];
}

function blocks(field: RuleField, values: readonly IpPrefix[] = []): readonly Condition[] {
  if (values.length === 0) return [];
  const holds = ({ sourceIp }: Attributes): boolean =>
    values.some((prefix) => prefixContains(prefix, sourceIp));
  const written = values.map(({ base, length }) => `${base}/${length}`);
  return [{ field, values: written, holds, actual: (attributes) => attributes.sourceIp }];
}

function ports(field: RuleField, values: readonly Port[] = []): readonly Condition[] {
  if (values.length === 0) return [];
  const wanted = new Set<Port>(values);
  const holds = ({ port }: Attributes): boolean => wanted.has(port);
  return [{ field, values: values.map(String), holds, actual: (attributes) => String(attributes.port) }];
}
