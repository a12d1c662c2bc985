/** `policy test`: what policies should allow and deny, written down as cases and checked, by files or by a mesh that runs. */
import type { Command } from 'commander';
import { asMeshError, MeshError } from '../../../base/errors.ts';
import { adminApiVersion } from '../../../telemetry/admin-api.ts';
import { type CommandContext, examples, type OutputOptions, withNodes, withOutput } from '../../command.ts';
import { type ExitCode, exitCodes, worse } from '../../exit-codes.ts';
import type { ConnectionExplainer } from '../../explain/explainer.ts';
import { type WhomOptions, whomToAsk, withFiles } from '../../explain/options.ts';
import { renderExplanation, type RenderOptions } from '../../explain/render.ts';
import { plural } from '../../format.ts';
import { reportUnreachable } from '../../listing.ts';
import type { Unreachable } from '../../node-handle.ts';
import { readFiles } from '../../offline/read-files.ts';
import { printDocument } from '../../output.ts';
import { type CaseResult, judgeCase, unknownCase } from '../../policy-cases/judge-case.ts';
import { parseCases, type PolicyCase } from '../../policy-cases/parse-cases.ts';
import { printable } from '../../printable.ts';
import type { Screen } from '../../screen.ts';

type Options = WhomOptions & OutputOptions;

export function addPolicyTest(policy: Command, context: CommandContext): void {
  const command = policy
    .command('test')
    .argument('<cases...>', 'files of cases, or - for standard input')
    .description('check cases: from, to, port, and whether that should be allowed or denied')
    .addHelpText('after', format)
    .addHelpText(
      'after',
      examples(
        'policy test cases.yaml --files manifests/',
        'policy test cases.yaml --files manifests/ --files new-policy.yaml -o json',
        'policy test cases.yaml --context staging',
      ),
    )
    .addHelpText('after', exitStatus);
  withFiles(withOutput(withNodes(command), ['table', 'wide', 'json', 'yaml'])).action(
    context.action(async (options: Options, paths) => await test(context, options, paths)),
  );
}

const format = `
A file has a list of cases:
  - name: only the web frontend reaches the database   # optional
    from: shop/web            # as "explain" takes it
    to: db.shop
    port: 5432                # or to: db.shop:5432; left out for a Service with one port
    protocol: TCP             # or UDP; optional
    expect: allow             # or deny
    by: shop/db-callers       # optional: the policy that has to decide

With -o table only cases that fail are shown, each with its explanation; with -o wide all of them.`;

const exitStatus = `
Exit status:
  0  all cases are as expected
  1  some are not
  2  the command line or a file of cases is not valid
  3  of some nobody can tell: a name is not known, the connection fails for other reasons, a node did not answer`;

async function test(context: CommandContext, options: Options, paths: readonly string[]): Promise<ExitCode> {
  if (paths.includes('-') && options.files?.includes('-') === true) {
    throw new MeshError('INVALID_ARGUMENT', 'standard input can hold the cases or the objects, not both');
  }
  const cases = parseCases(await readFiles(context.env, paths));
  const explainer = await whomToAsk(context, options);
  try {
    const { results, unreachable } = await judgeAll(explainer, cases);
    print(context, options, results);
    return worse(codeOf(results), reportUnreachable(context.screen(), unreachable));
  } finally {
    explainer.close();
  }
}

interface Judged {
  readonly results: readonly CaseResult[];
  readonly unreachable: readonly Unreachable[];
}

async function judgeAll(explainer: ConnectionExplainer, cases: readonly PolicyCase[]): Promise<Judged> {
  const results: CaseResult[] = [];
  const silent = new Map<string, Unreachable>();
  for (const tested of cases) {
    try {
      const { explained, unreachable } = await explainer.explain({ from: tested.from, to: tested.to });
      for (const one of unreachable) silent.set(one.node, one);
      results.push(judgeCase(tested, explained));
    } catch (thrown) {
      const error = asMeshError(thrown);
      if (error.code !== 'NOT_FOUND' && error.code !== 'INVALID_ARGUMENT') throw error;
      results.push(unknownCase(tested, error));
    }
  }
  return { results, unreachable: [...silent.values()] };
}

const codeOf = (results: readonly CaseResult[]): ExitCode => {
  if (results.some(({ result }) => result === 'unknown')) return exitCodes.undecided;
  return results.some(({ result }) => result === 'failed') ? exitCodes.findings : exitCodes.clean;
};

const counted = (results: readonly CaseResult[], wanted: CaseResult['result']): number =>
  results.filter(({ result }) => result === wanted).length;

function print({ env, screen }: CommandContext, { output }: Options, results: readonly CaseResult[]): void {
  const shown = screen();
  if (output === 'json' || output === 'yaml') {
    printDocument(shown, output, document(results));
    return;
  }
  const options = { paint: shown.paint, now: env.clock.now(), wide: output === 'wide' };
  const told = options.wide ? results : results.filter(({ result }) => result !== 'ok');
  for (const result of told) printResult(shown, result, options);
  const unknown = counted(results, 'unknown');
  shown.data(
    `${plural(results.length, 'case')}: ${counted(results, 'ok')} ok, ${counted(results, 'failed')} failed${unknown === 0 ? '' : `, ${unknown} unknown`}`,
  );
}

const words = { ok: 'ok', failed: 'FAIL', unknown: 'UNKNOWN' } as const;
const styles = { ok: 'green', failed: 'red', unknown: 'yellow' } as const;

function printResult(
  screen: Screen,
  { tested, result, found, explained }: CaseResult,
  options: RenderOptions,
): void {
  const { file, line, column } = tested.at;
  const by = tested.by === undefined ? '' : ` by ${tested.by}`;
  screen.data(
    `${screen.paint(styles[result], words[result])}  ${printable(`${tested.name}  (${file}:${line}:${column})`)}`,
  );
  if (result === 'ok') return;
  screen.data(printable(`  expected ${tested.expect}${by}, found ${found}`));
  if (explained === undefined) return;
  for (const each of renderExplanation(explained, options)) screen.data(`  ${each}`);
}

const document = (results: readonly CaseResult[]): object => ({
  apiVersion: adminApiVersion,
  kind: 'PolicyTestResult',
  ok: counted(results, 'ok'),
  failed: counted(results, 'failed'),
  unknown: counted(results, 'unknown'),
  items: results.map(({ tested, result, found, explained }) => ({
    name: tested.name,
    at: `${tested.at.file}:${tested.at.line}:${tested.at.column}`,
    from: tested.from,
    to: tested.to,
    expect: tested.expect,
    by: tested.by ?? null,
    result,
    found: found === '' ? null : found,
    explanation: explained ?? null,
  })),
});
