/** An explanation on one screen: each step of the way in a line, then what decided. Pure. */
import type {
  ExplainedEndpoint,
  ExplainedPolicy,
  ExplainedVerdict,
  ExplainedWay,
} from '../../telemetry/explanation-types.ts';
import { formatUntil, plural } from '../format.ts';
import { printable } from '../printable.ts';
import type { Paint, Style } from '../screen.ts';
import type { Explained } from './explainer.ts';

export interface RenderOptions {
  readonly paint: Paint;
  readonly now: number;
  /** Every policy, and each condition of each rule. */
  readonly wide: boolean;
}

/** Policies that do not match, of which so many are shown unless all are asked for. */
const shownMisses = 8;
const labelWidth = 12;

export function renderExplanation(explained: Explained, options: RenderOptions): readonly string[] {
  const { ways } = explained;
  return [
    headline(explained, options),
    ...steps(explained, options),
    ...ways.flatMap((way, i) => [
      ...(ways.length > 1 ? [options.paint('bold', `way ${i + 1} of ${ways.length}`)] : []),
      ...waySteps(way, options),
    ]),
    ...(ways.length === 0 && explained.verdict !== null ? verdictSteps(explained.verdict, options) : []),
    ...explained.notes.map((note) => line('note', note)),
  ];
}

const outcomeStyles = {
  allowed: 'green',
  denied: 'red',
  failed: 'red',
  depends: 'yellow',
} as const satisfies Record<Explained['outcome'], Style>;

function headline({ outcome, source, destination, nodes }: Explained, { paint }: RenderOptions): string {
  const from = source.workload ?? source.identity ?? source.address ?? source.asked;
  const suffix = destination.transport === 'udp' ? ' (UDP)' : '';
  const by =
    nodes.length === 0 ? 'by the files' : `as ${nodes.join(' and ')} ${nodes.length > 1 ? 'have' : 'has'} it`;
  return `${paint(outcomeStyles[outcome], outcome.toUpperCase())}  ${printable(`${from} -> ${destination.asked}${suffix}`)}  ${paint('dim', printable(by))}`;
}

const line = (label: string, text: string): string => `${label.padEnd(labelWidth)}  ${printable(text)}`;
const more = (text: string): string => `${' '.repeat(labelWidth)}  ${printable(text)}`;

function steps(
  { source, capture, destination, egress }: Explained,
  { now }: RenderOptions,
): readonly string[] {
  const { dialled, service } = destination;
  const rest = dialled.length > 3 ? ` and ${dialled.length - 3} more` : '';
  return [
    line('source', sourceWords(source, now)),
    line('capture', `${capture.captured ? 'yes' : 'no'}: ${capture.why}`),
    line(
      'destination',
      `${service === null ? '' : `Service ${service}, `}${dialled.slice(0, 3).join(', ')}${rest || ''}`,
    ),
    ...(egress === null ? [] : [line('egress', `${egress.outcome}${byWhom(egress)}: ${egress.reason}`)]),
  ];
}

function sourceWords(
  { workload, node, address, identity, certificate }: Explained['source'],
  now: number,
): string {
  const notAfter = certificate?.notAfter ?? null;
  const until = notAfter === null ? '' : ` for ${formatUntil(notAfter, now)}`;
  return [
    workload === null ? undefined : `pod ${workload}${node === null ? '' : ` on ${node}`}`,
    address ?? undefined,
    identity ?? 'no identity',
    certificate === null ? undefined : `certificate ${certificate.state}${until}`,
  ]
    .filter((part) => part !== undefined)
    .join(', ');
}

function waySteps(way: ExplainedWay, options: RenderOptions): readonly string[] {
  const { endpoints, endpointCount, path, pathWhy, tls, verdict, answeredBy } = way;
  const [first] = endpoints;
  const others = endpointCount > 1 ? `; at ${endpointCount - 1} more it fares alike` : '';
  return [
    ...(first === undefined ? [] : [line('endpoint', `${endpointWords(first)}${others}`)]),
    ...(options.wide ? endpoints.slice(1).map((endpoint) => more(endpointWords(endpoint))) : []),
    line('path', `${path === null ? 'refused' : pathWords[path]}: ${pathWhy}`),
    ...(tls === null ? [] : [line(tls.proof === 'kernel' ? 'identity' : 'TLS', tlsWords(tls, first))]),
    ...policyLines(way, options),
    ...verdictSteps(verdict, options, answeredBy),
  ];
}

const pathWords = { hbone: 'HBONE', kernel: 'kernel', plaintext: 'plaintext', direct: 'direct' } as const;

const endpointWords = ({ workload, address, node }: ExplainedEndpoint): string =>
  `${workload === null ? '' : `${workload} at `}${address}${node === null ? '' : ` on ${node}`}`;

const modeWords = {
  strict: 'mutual TLS only (STRICT',
  permissive: 'plaintext too (PERMISSIVE',
  disable: 'plaintext too (DISABLE',
} as const;

function tlsWords(
  { proves, proof, expects, mode, policy }: NonNullable<ExplainedWay['tls']>,
  to?: ExplainedEndpoint,
): string {
  const port = to?.address.slice(to.address.lastIndexOf(':') + 1);
  const says = policy === null ? 'no PeerAuthentication says otherwise' : `by ${policy}`;
  return [
    proofWords(proves, proof),
    ...(expects.length === 0 ? [] : [`expects ${expects.join(' or ')}`]),
    `port ${port} takes ${modeWords[mode]}, ${says})`,
  ].join('; ');
}

function proofWords(proves: string | null, proof: NonNullable<ExplainedWay['tls']>['proof']): string {
  if (proves === null) return 'no certificate is shown';
  // What the kernel says holds where policies want mutual TLS.
  return proof === 'kernel' ? `no TLS: the kernel vouches for ${proves}` : `proves ${proves}`;
}

function policyLines(way: ExplainedWay, options: RenderOptions): readonly string[] {
  const { policies, policiesOmitted, notForIt, inboundDefault, tls } = way;
  if (tls === null) return [];
  const misses = policies.filter(({ matches }) => !matches);
  const hidden = options.wide ? [] : misses.slice(shownMisses);
  const shown = policies.filter((policy) => !hidden.includes(policy));
  const lines = [
    ...shown.flatMap((policy) => policyWords(policy, widestName(shown), options)),
    ...countLine(hidden.length + policiesOmitted, 'that do not match'),
    ...(inboundDefault === null
      ? []
      : [`default  ${inboundDefault.policy}: ${inboundDefault.reason.replace(/^.*, and /, '')}`]),
    ...(notForIt.length === 0
      ? []
      : [`not for this pod: ${notForIt.map(({ policy, scope }) => `${policy} (${scope})`).join(', ')}`]),
  ];
  if (policies.length === 0) lines.unshift('none applies to this pod');
  return lines.map((text, i) => (i === 0 ? line('policies', text) : more(text)));
}

const countLine = (count: number, what: string): readonly string[] =>
  count === 0
    ? []
    : [`and ${plural(count, 'policy').replace('policys', 'policies')} ${what} (-o wide, -o yaml)`];

const widestName = (policies: readonly ExplainedPolicy[]): number =>
  Math.max(0, ...policies.map(({ policy }) => policy.length));

function policyWords(
  { policy, action, dryRun, matches, sentence, rules }: ExplainedPolicy,
  width: number,
  { wide }: RenderOptions,
): readonly string[] {
  const how = `${action.toUpperCase()}${dryRun ? ' (dry run)' : ''}`;
  const first = `${how.padEnd(5)}  ${policy.padEnd(width)}  ${matches ? 'matches ' : 'no match'}  ${sentence}`;
  if (!wide) return [first];
  const clauses = rules.flatMap((rule) =>
    rule.clauses.flatMap(({ at, conditions }) =>
      conditions.map(
        ({ field, values, valuesOmitted, holds, sentence: why }) =>
          `  rule ${rule.rule} ${at} ${field} [${values.join(', ')}${valuesOmitted > 0 ? `, ${valuesOmitted} more` : ''}]: ${holds ? 'holds' : 'fails'}, ${why}`,
      ),
    ),
  );
  return [first, ...clauses];
}

const byWhom = ({ policy }: Pick<ExplainedVerdict, 'policy'>): string =>
  policy === null ? '' : ` by ${policy}`;

const hintLines = (error: ExplainedVerdict['error']): readonly string[] =>
  error === null || error.hint === null ? [] : [more(`next: ${error.hint}`)];

function verdictSteps(
  verdict: ExplainedVerdict,
  { paint }: RenderOptions,
  answeredBy: string | null = null,
): readonly string[] {
  const { outcome, reason, error, audit, dryRun } = verdict;
  const by = answeredBy === null ? '' : `  ${paint('dim', printable(`(${answeredBy})`))}`;
  const what = error === null ? `${outcome}${byWhom(verdict)}: ${reason}` : `${outcome}: ${error.message}`;
  return [
    `${'verdict'.padEnd(labelWidth)}  ${paint(outcomeStyles[outcome], printable(what))}${by}`,
    ...hintLines(error),
    ...(audit === null ? [] : [more(`audited by ${audit}`)]),
    ...(dryRun === null
      ? []
      : [
          more(
            `with the policies in dry run: ${dryRun.allowed ? 'allowed' : 'denied'}${byWhom(dryRun)}: ${dryRun.reason}`,
          ),
        ]),
  ];
}
