/** `policy suggest`: policies that allow what was seen and nothing else, ready for kubectl apply. */
import { type Command, Option } from 'commander';
import { suggest, type Suggestions } from '../../../policy/suggest/suggest.ts';
import type { PairItem, PairList } from '../../../telemetry/admin-api.ts';
import { type CommandContext, examples, withNodes } from '../../command.ts';
import { type ExitCode, exitCodes, exitCodesHelp, worse } from '../../exit-codes.ts';
import { itemsOf } from '../../list-command.ts';
import { listDocument, reportUnreachable } from '../../listing.ts';
import type { NodeSelection } from '../../nodes.ts';
import { askNodes } from '../../nodes.ts';
import { printDocument } from '../../output.ts';
import { printable } from '../../printable.ts';
import { renderSuggestion, suggestedObject } from '../../suggest/render.ts';
import { seenPairs } from '../../suggest/seen-pairs.ts';
import { parseDuration, parseName } from '../../usage.ts';

interface SuggestOptions extends NodeSelection {
  readonly namespace: string;
  readonly includeDenied?: boolean;
  readonly allowDenied?: boolean;
  /** Milliseconds. */
  readonly since?: number;
  readonly output: 'yaml' | 'json';
}

export function addPolicySuggestCommand(policy: Command, context: CommandContext): void {
  const command = policy
    .command('suggest')
    .description('propose policies that allow what was seen, and nothing else')
    .addOption(
      new Option('-n, --namespace <name>', 'of the pods that are connected to')
        .argParser(parseName)
        .makeOptionMandatory(),
    )
    .option('--include-denied', 'tell, in comments, what was denied as well')
    .option('--allow-denied', 'propose to allow what was denied as well')
    .addOption(
      new Option('--since <duration>', 'only what was seen within this time').argParser(parseDuration),
    )
    .addOption(new Option('-o, --output <format>', 'how to print').choices(['yaml', 'json']).default('yaml'))
    .addHelpText(
      'after',
      '\nNodes count, for each source, port and Deployment, what they have seen; the counts outlive node programs.\n' +
        'A policy that is applied denies everything else to the pods it selects: look at "policy diff" first.',
    )
    .addHelpText(
      'after',
      examples(
        'policy suggest -n shop > shop.yaml',
        'policy suggest -n shop --since 24h --include-denied',
        'policy suggest -n shop --since 10m --allow-denied',
        'policy suggest -n shop | kubectl apply -f -',
      ),
    )
    .addHelpText('after', exitCodesHelp);
  withNodes(command).action(
    context.action(async (options: SuggestOptions) => await suggestPolicies(context, options)),
  );
}

async function suggestPolicies(context: CommandContext, options: SuggestOptions): Promise<ExitCode> {
  const { env } = context;
  const { documents, unreachable } = await askNodes<PairList>(env, options, {
    target: `/v1/pairs?namespace=${options.namespace}`,
    kind: 'PairList',
  });
  const from = options.since === undefined ? 0 : env.clock.now() - options.since;
  const items = itemsOf(documents).filter(({ lastSeen }) => Date.parse(lastSeen) >= from);
  const suggestions = suggest(seenPairs(items), { allowDenied: options.allowDenied === true });
  print(context, options, suggestions);
  return worse(
    explainGaps(context, options, items, suggestions),
    reportUnreachable(context.screen(), unreachable),
  );
}

function print(context: CommandContext, options: SuggestOptions, { policies }: Suggestions): void {
  const screen = context.screen();
  const proposed = policies.filter(
    ({ rules, denied }) => rules.length > 0 || (options.includeDenied === true && denied.length > 0),
  );
  if (options.output === 'json') {
    printDocument(
      screen,
      'json',
      listDocument('PolicySuggestionList', { items: proposed.map(suggestedObject) }, []),
    );
    return;
  }
  const texts = proposed.map((each) => renderSuggestion(each, { denied: options.includeDenied === true }));
  if (texts.length > 0) screen.data(texts.join('---\n').trimEnd());
}

/** What there is no policy for, and why. */
function explainGaps(
  context: CommandContext,
  { namespace }: SuggestOptions,
  items: readonly PairItem[],
  { policies, unselectable }: Suggestions,
): ExitCode {
  const screen = context.screen();
  for (const owner of unselectable) {
    screen.hint(
      printable(`${owner}: no pod of it is there any more, or its pods have no label to select them by`),
    );
  }
  if (policies.some(({ rules }) => rules.length > 0)) return exitCodes.clean;
  const what = items.length === 0 ? 'no connection to pods of' : 'no connection that was allowed to pods of';
  screen.hint(`${what} namespace ${namespace} was seen: nothing to propose`);
  return exitCodes.findings;
}
