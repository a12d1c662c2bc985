/**
 * The rules of an AuthorizationPolicy. A condition that L4 cannot check, or that cannot be read, makes its rule
 * stricter: of an ALLOW policy the rule is left out, of any other the condition is, so that a policy may refuse too
 * much and never allows too much. Istio's rule for ztunnel is the same.
 */
import type { MeshConfig } from '../../model/mesh.ts';
import type { PolicyAction, PolicyMatch, PolicyRule } from '../../model/policy.ts';
import type { RemarkType } from '../problem.ts';
import type { PolicyRuleObject } from '../resources/security.ts';
import { principalRemarks, readField, whenField } from './policy-fields.ts';

/** Something to say of a field: why it is not in force as written, or a warning. */
export interface Remark {
  readonly type: RemarkType;
  readonly field: string;
  readonly message: string;
}

export interface TranslatedRules {
  readonly rules: readonly PolicyRule[];
  readonly remarks: readonly Remark[];
}

export interface PolicyContext {
  readonly action: PolicyAction;
  readonly namespace: string;
  readonly config: MeshConfig;
}

export function rulesOf(rules: readonly PolicyRuleObject[], context: PolicyContext): TranslatedRules {
  const read = rules.map((rule, i) => readRule(rule, `spec.rules[${i}]`, context));
  const isKept = ({ remarks }: ReadRule): boolean => context.action !== 'allow' || !remarks.some(isObstacle);
  return {
    rules: numbered(read, isKept),
    remarks: read.flatMap(({ remarks }) => remarks),
  };
}

/** Reasons and findings name rules by where they stand in the object, whatever is left out. */
const numbered = (read: readonly ReadRule[], isKept: (rule: ReadRule) => boolean): readonly PolicyRule[] =>
  read.every(isKept)
    ? read.map(({ rule }) => rule)
    : read.flatMap((each, i) => (isKept(each) ? [{ number: i + 1, ...each.rule }] : []));

const isObstacle = ({ type }: Remark): boolean => type === 'unreadable' || type === 'l7';

/** As far as it could be read. */
interface ReadRule {
  readonly rule: PolicyRule;
  readonly remarks: readonly Remark[];
}

interface ReadMatch {
  readonly match: PolicyMatch;
  readonly remarks: readonly Remark[];
}

function readRule(rule: PolicyRuleObject, at: string, context: PolicyContext): ReadRule {
  const { from, to, when, ...unknown } = rule;
  const sources = readList(from, `${at}.from`, ({ source }, field) =>
    readMatch(source, `${field}.source`, context),
  );
  const operations = readList(to, `${at}.to`, ({ operation }, field) =>
    readMatch(operation, `${field}.operation`, context),
  );
  const conditions = (when ?? []).map((item, i) => readWhen(item, `${at}.when[${i}]`, context));
  return {
    rule: {
      ...(sources.matches.length === 0 ? {} : { from: sources.matches }),
      ...(operations.matches.length === 0 ? {} : { to: operations.matches }),
      ...(conditions.length === 0 ? {} : { when: conditions.map(({ match }) => match) }),
    },
    remarks: [
      ...sources.remarks,
      ...operations.remarks,
      ...conditions.flatMap(({ remarks }) => remarks),
      ...Object.keys(unknown).map((name) => unknownField(`${at}.${name}`)),
    ],
  };
}

const unknownField = (field: string): Remark => ({
  type: 'l7',
  field,
  message: 'a field that this version of mesh-ebpf does not know',
});

const unreadable = (field: string, message: string): Remark => ({ type: 'unreadable', field, message });

interface ReadList {
  readonly matches: readonly PolicyMatch[];
  readonly remarks: readonly Remark[];
}

/** Without the field everything fits; an empty list says nothing, and not that. */
function readList<Item>(
  items: readonly Item[] | undefined,
  field: string,
  read: (item: Item, at: string) => ReadMatch,
): ReadList {
  if (items === undefined) return { matches: [], remarks: [] };
  if (items.length === 0) return { matches: [], remarks: [unreadable(field, 'the list is empty')] };
  const all = items.map((item, i) => read(item, `${field}[${i}]`));
  return { matches: all.map(({ match }) => match), remarks: all.flatMap(({ remarks }) => remarks) };
}

type Fields = Readonly<Record<string, unknown>>;

/** A source, an operation, or the values of a `when`. */
function readMatch(fields: Fields | undefined, at: string, context: PolicyContext): ReadMatch {
  const given = Object.entries(fields ?? {}).filter(([, values]) => values !== undefined);
  if (given.length === 0) return { match: {}, remarks: [unreadable(at, 'no condition is given')] };
  const read = given.map(([name, values]) => readCondition(name, values, `${at}.${name}`, context));
  return {
    match: Object.assign({}, ...read.map(({ match }) => match)) as PolicyMatch,
    remarks: read.flatMap(({ remarks }) => remarks),
  };
}

function readCondition(name: string, values: unknown, field: string, context: PolicyContext): ReadMatch {
  const { match, obstacle } = readField(name, values, context);
  const warnings = principalRemarks(name, values, context.config).map((message): Remark => ({
    type: 'principal',
    field,
    message,
  }));
  return { match, remarks: [...(obstacle === undefined ? [] : [{ ...obstacle, field }]), ...warnings] };
}

type WhenObject = NonNullable<PolicyRuleObject['when']>[number];

function readWhen(
  { key, values, notValues, ...unknown }: WhenObject,
  at: string,
  context: PolicyContext,
): ReadMatch {
  const field = whenField(key);
  if (field === undefined) {
    const message = `"${key}" cannot be checked at L4, only by a waypoint`;
    return { match: {}, remarks: [{ type: 'l7', field: `${at}.key`, message }] };
  }
  const { match, remarks } = readMatch(
    { [field.positive]: values, [field.negative]: notValues },
    at,
    context,
  );
  return {
    match,
    remarks: [...remarks, ...Object.keys(unknown).map((name) => unknownField(`${at}.${name}`))],
  };
}
