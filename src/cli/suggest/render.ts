/** A suggested policy as YAML for kubectl, with what it is based on in comments; and as an object. Pure. */
import type { Evidence, SuggestedRule, Suggestion } from '../../policy/suggest/suggest.ts';
import { plural } from '../format.ts';
import { printable } from '../printable.ts';

const policyApi = { apiVersion: 'security.istio.io/v1', kind: 'AuthorizationPolicy' } as const;

/** Every value in quotes: labels such as `true`, and whatever a node may have sent. */
const quoted = (value: string): string => JSON.stringify(printable(value));

export function renderSuggestion(suggestion: Suggestion, { denied }: { readonly denied: boolean }): string {
  const { namespace, name, labels, rules } = suggestion;
  const lines = [
    ...comments(suggestion),
    `apiVersion: ${policyApi.apiVersion}`,
    `kind: ${policyApi.kind}`,
    'metadata:',
    `  name: ${quoted(name)}`,
    `  namespace: ${quoted(namespace)}`,
    'spec:',
    '  action: ALLOW',
    '  selector:',
    '    matchLabels:',
    ...Object.entries(labels).map(([key, value]) => `      ${quoted(key)}: ${quoted(value)}`),
    ...(rules.length === 0 ? [] : ['  rules:', ...rules.flatMap(ruleLines)]),
    ...(denied ? deniedLines(suggestion) : []),
  ];
  // Without a connection that was allowed there is nothing to apply: all of it is a comment.
  const text = rules.length === 0 ? lines.map((line) => (line.startsWith('#') ? line : `# ${line}`)) : lines;
  return `${text.join('\n')}\n`;
}

function comments({ owners, others, rules, ...all }: Suggestion): readonly string[] {
  return [
    `# For ${printable(owners.join(', '))}: ${evidenceText(all)}.`,
    ...(others.length === 0 ? [] : [`# These labels select pods of ${printable(others.join(', '))}, too.`]),
    ...(rules.some(({ ipBlocks }) => ipBlocks.length > 0)
      ? ['# Plaintext has no identity and is allowed by address: enrol those pods, and leave that rule out.']
      : []),
  ];
}

const evidenceText = ({ count, firstSeen, lastSeen }: Evidence): string =>
  `${plural(count, 'connection')} from ${when(firstSeen)} to ${when(lastSeen)}`;

/** To the second. */
const when = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;

function ruleLines(rule: SuggestedRule): readonly string[] {
  const { principals, ipBlocks, ports, names } = rule;
  const what = `${evidenceText(rule)}${rule.denied === true ? ', denied so far' : ''}`;
  const whose = names.length === 0 ? '' : `; the addresses were ${printable(names.join(', '))}`;
  const field = principals.length > 0 ? 'principals' : 'ipBlocks';
  const values = principals.length > 0 ? principals : ipBlocks.map(({ base, length }) => `${base}/${length}`);
  return [
    `    # ${what}${whose}`,
    '    - from:',
    '        - source:',
    `            ${field}:`,
    ...values.map((value) => `              - ${quoted(value)}`),
    ...(principals.length > 0 ? [] : ['            notPrincipals: ["*"]']),
    '      to:',
    '        - operation:',
    `            ports: [${ports.map((port) => `"${port}"`).join(', ')}]`,
  ];
}

function deniedLines({ denied }: Suggestion): readonly string[] {
  if (denied.length === 0) return [];
  return [
    '# Denied so far; to allow it, take the number signs away and add it to the rules:',
    ...denied.flatMap(ruleLines).map((line) => `# ${line}`),
  ];
}

/** The object, with what it is based on beside it. */
export const suggestedObject = ({
  namespace,
  name,
  labels,
  rules,
  denied,
  owners,
  ...seen
}: Suggestion): object => ({
  policy: {
    ...policyApi,
    metadata: { name, namespace },
    spec: { action: 'ALLOW', selector: { matchLabels: labels }, rules: rules.map(ruleObject) },
  },
  owners,
  alsoSelects: seen.others,
  ...evidenceFields(seen),
  rules: rules.map((rule) => ({ ...ruleObject(rule), ...evidenceFields(rule) })),
  denied: denied.map((rule) => ({ ...ruleObject(rule), ...evidenceFields(rule) })),
});

const evidenceFields = ({ count, firstSeen, lastSeen }: Evidence): object => ({
  connections: count,
  firstSeen: new Date(firstSeen).toISOString(),
  lastSeen: new Date(lastSeen).toISOString(),
});

const ruleObject = ({ principals, ipBlocks, ports }: SuggestedRule): object => ({
  from: [
    {
      source:
        principals.length > 0
          ? { principals }
          : { ipBlocks: ipBlocks.map(({ base, length }) => `${base}/${length}`), notPrincipals: ['*'] },
    },
  ],
  to: [{ operation: { ports: ports.map(String) } }],
});
