/** A connection made up so that a rule matches it, as far as one can be made up. */
import type { IpAddress, Port } from '../../base/ip.ts';
import { type AddressWords, addressWords } from '../address-words.ts';
import type { Attributes } from '../attributes.ts';
import type { Condition } from '../conditions.ts';
import { patternKind } from '../pattern-map.ts';
import type { CompiledRule } from '../rules.ts';

/** By the first alternative of each clause. Without a condition on identity it is plaintext: then nobody's identity covers it. */
export function witnessOf({ clauses }: CompiledRule): Attributes {
  const conditions = clauses.flatMap(({ alternatives }) => alternatives[0] ?? []);
  const positive = conditions.filter(({ negated }) => !negated);
  const text = (field: Condition['field']): string | undefined => {
    const condition = positive.find((each) => each.field === field);
    return condition?.type === 'text' ? example(condition.values[0] ?? '') : undefined;
  };
  const principal = text('principals');
  const account = text('serviceAccounts') ?? accountOf(principal);
  const [port = 0 as Port] = positive.flatMap((each) => (each.type === 'port' ? each.values : []));
  const address = (field: Condition['field']): AddressWords | undefined => {
    const condition = positive.find((each) => each.field === field);
    const [prefix] = condition?.type === 'address' ? condition.values : [];
    return prefix;
  };
  return {
    principal,
    namespace: text('namespaces') ?? account?.split('/')[0],
    serviceAccount: account,
    trustDomain: text('trustDomains') ?? principal?.split('/')[0],
    source: address('ipBlocks') ?? nowhere,
    destination: address('destinationIps') ?? nowhere,
    facts: { identity: undefined, sourceIp: none, destinationIp: none, port },
  };
}

/** Of those that documents use for nobody (RFC 5737). */
const none = '192.0.2.1' as IpAddress;
const nowhere = addressWords(none);

function accountOf(principal: string | undefined): string | undefined {
  const [, namespace, name] = /^[^/]+\/ns\/([^/]+)\/sa\/([^/]+)$/.exec(principal ?? '') ?? [];
  return namespace === undefined || name === undefined ? undefined : `${namespace}/${name}`;
}

/** Something that matches the pattern. */
function example(pattern: string): string {
  switch (patternKind(pattern)) {
    case 'exact':
      return pattern;
    case 'prefix':
      return pattern.slice(0, -1);
    case 'suffix':
      return pattern.slice(1);
  }
}
