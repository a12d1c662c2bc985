/**
 * The rules of an AuthorizationPolicy. Istio nests alternatives (`from` × `to`) and adds conditions (`when`); the
 * model has a flat list of alternatives, so each pair of a source and an operation becomes one rule.
 */
import type { AuthorizationPolicy, MeshConfig, PolicyRule } from '../../model/mesh.ts';
import type { PolicyRuleObject } from '../resources/authorization-policy.ts';
import { principalRemarks, readField, whenField } from './policy-fields.ts';

/** A fault or a warning, at a field of the policy. */
export interface Remark {
  readonly field: string;
  readonly message: string;
}

export interface TranslatedRules {
  readonly rules: readonly PolicyRule[];
  readonly faults: readonly Remark[];
  readonly warnings: readonly Remark[];
}

export interface PolicyContext {
  readonly action: AuthorizationPolicy['action'];
  readonly namespace: string;
  readonly config: MeshConfig;
}

/** More than anybody writes; each is checked for every connection. */
const maxRules = 4096;

/** All rules; where there are faults, in the strict reading that `authorization-policy.ts` describes. */
export function rulesOf(rules: readonly PolicyRuleObject[], context: PolicyContext): TranslatedRules {
  const read = rules.map((rule, i) => readRule(rule, `spec.rules[${i}]`, context));
  const parts = read.flatMap(({ sources, operations, extra }) => [...sources, ...operations, extra]);
  const faults = parts.flatMap((part) => part.faults);
  const warnings = parts.flatMap((part) => part.warnings);
  const count = read.reduce((sum, { sources, operations }) => sum + sources.length * operations.length, 0);
  if (count > maxRules) {
    const message = `${count} combinations of sources and operations: at most ${maxRules} are possible`;
    const strict = context.action === 'deny' ? [{}] : [];
    return { rules: strict, faults: [...faults, { field: 'spec.rules', message }], warnings };
  }
  return { rules: read.flatMap((rule) => combinations(rule, context.action)), faults, warnings };
}

/** One of the conjuncts a rule is made of: its conditions as far as they could be read. */
interface Part {
  readonly conditions: PolicyRule;
  readonly faults: readonly Remark[];
  readonly warnings: readonly Remark[];
}

interface ReadRule {
  readonly sources: readonly Part[];
  readonly operations: readonly Part[];
  /** From `when`: holds in addition to any source and operation. */
  readonly extra: Part;
}

function combinations(
  { sources, operations, extra }: ReadRule,
  action: PolicyContext['action'],
): PolicyRule[] {
  return sources.flatMap((source) =>
    operations.flatMap((operation) => {
      const parts = [source, operation, extra];
      const isBroken = parts.some((part) => part.faults.length > 0);
      if (isBroken && action === 'allow') return [];
      return [{ ...source.conditions, ...operation.conditions, ...extra.conditions }];
    }),
  );
}

const nothing: Part = { conditions: {}, faults: [], warnings: [] };

function readRule(rule: PolicyRuleObject, field: string, context: PolicyContext): ReadRule {
  const sources = alternatives(rule.from, `${field}.from`, ({ source }, at) =>
    readPart(source, `${at}.source`, context),
  );
  const operations = alternatives(rule.to, `${field}.to`, ({ operation }, at) =>
    readPart(operation, `${at}.operation`, context),
  );
  const used = new Set([...sources, ...operations].flatMap(({ conditions }) => Object.keys(conditions)));
  return { sources, operations, extra: readWhen(rule.when ?? [], `${field}.when`, { context, used }) };
}

/** Without the field everything fits; an empty list says nothing, and not that. */
function alternatives<Item>(
  items: readonly Item[] | undefined,
  field: string,
  read: (item: Item, at: string) => Part,
): readonly Part[] {
  if (items === undefined) return [nothing];
  if (items.length === 0) return [{ ...nothing, faults: [{ field, message: 'the list is empty' }] }];
  return items.map((item, i) => read(item, `${field}[${i}]`));
}

type Fields = Readonly<Record<string, readonly string[] | undefined>>;

/** A source or an operation. */
function readPart(fields: Fields, at: string, context: PolicyContext): Part {
  const given = Object.entries(fields).flatMap(([name, values]) =>
    values === undefined ? [] : [{ name, values }],
  );
  if (given.length === 0) return { ...nothing, faults: [{ field: at, message: 'no condition is given' }] };
  return joined(given.map(({ name, values }) => readCondition(name, values, `${at}.${name}`, context)));
}

function readCondition(name: string, values: readonly string[], field: string, context: PolicyContext): Part {
  const { conditions, fault } = readField(name, values, context);
  const warnings = principalRemarks(name, values, context.config).map((message) => ({ field, message }));
  return { conditions, faults: fault === undefined ? [] : [{ field, message: fault }], warnings };
}

interface WhenContext {
  readonly context: PolicyContext;
  /** Fields that other parts of the rule use; the model's rule has each but once. */
  readonly used: Set<string>;
}

function readWhen(
  when: NonNullable<PolicyRuleObject['when']>,
  at: string,
  { context, used }: WhenContext,
): Part {
  const parts = when.map(({ key, values, notValues }, i): Part => {
    const field = whenField(key);
    const fault = (message: string): Part => ({
      ...nothing,
      faults: [{ field: `${at}[${i}].key`, message }],
    });
    if (field === undefined) return fault(`"${key}" cannot be checked at L4`);
    const lists = { [field.positive]: values, [field.negative]: notValues };
    const names = Object.keys(lists).filter((name) => lists[name] !== undefined);
    if (names.some((name) => used.has(name))) return fault(`the rule has a condition on "${key}" already`);
    for (const name of names) used.add(name);
    return readPart(lists, `${at}[${i}]`, context);
  });
  return joined(parts);
}

const joined = (parts: readonly Part[]): Part => ({
  conditions: Object.assign({}, ...parts.map((part) => part.conditions)) as PolicyRule,
  faults: parts.flatMap((part) => part.faults),
  warnings: parts.flatMap((part) => part.warnings),
});
