/** `explain`: what would become of a connection, step by step, and which policy decides. */
import { type Command, Option } from 'commander';
import { asMeshError } from '../../base/errors.ts';
import { type CommandContext, examples, type OutputOptions, withNodes, withOutput } from '../command.ts';
import { errorText } from '../error-text.ts';
import { type ExitCode, exitCodes, worse } from '../exit-codes.ts';
import { type Answer, explanationDocument } from '../explain/explainer.ts';
import { type WhomOptions, whomToAsk, withFiles } from '../explain/options.ts';
import { renderExplanation } from '../explain/render.ts';
import { reportUnreachable } from '../listing.ts';
import { printDocument } from '../output.ts';
import { parseName } from '../usage.ts';

type Options = WhomOptions & OutputOptions & { readonly namespace?: string };

export function addExplainCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('explain')
    .argument('<source>', 'who connects: a pod, a workload, sa/NAMESPACE/NAME, an address')
    .argument(
      '<destination>',
      'to what: HOST:PORT, a Service, pod or workload, or an address; /udp at the end for UDP',
    )
    .description('tell what would become of a connection, step by step, and why')
    .addOption(
      new Option('-n, --namespace <name>', 'of names that are given without one').argParser(parseName),
    )
    .addHelpText('after', spellings)
    .addHelpText(
      'after',
      examples(
        'explain pod/shop/web-1 db.shop:5432',
        'explain deploy/shop/web db.shop.svc.cluster.local:5432 -o yaml',
        'explain shop/web-1 203.0.113.7:443',
        'explain sa/other/guest pod/shop/db-0:5432',
        'explain shop/web db.shop:5432 --files manifests/ --files policies.yaml',
      ),
    )
    .addHelpText('after', exitStatus);
  withFiles(withOutput(withNodes(command), ['table', 'wide', 'json', 'yaml'])).action(
    context.action(
      async (options: Options, [from = '', to = '']) => await explain(context, options, from, to),
    ),
  );
}

const spellings = `
Names: NAMESPACE/NAME, NAME.NAMESPACE, NAME with -n; pod/, svc/, deploy/ and the like before them say what is meant. As a
destination a name that a Service and pods share is the Service. sa/NAMESPACE/NAME and spiffe://... stand for any pod
with that identity, @IP after them for one at that address.`;

const exitStatus = `
Exit status:
  0  it would be allowed
  1  a policy would deny it, at some endpoint at least
  2  the command line is not valid
  3  cannot tell: it fails before a policy is asked, a name is not known, a node did not answer`;

async function explain(
  context: CommandContext,
  options: Options,
  from: string,
  to: string,
): Promise<ExitCode> {
  const { namespace } = options;
  const query = { from, to, ...(namespace === undefined ? {} : { namespace }) };
  const explainer = await whomToAsk(context, options);
  try {
    return print(context, options, await explainer.explain(query));
  } catch (thrown) {
    const error = asMeshError(thrown);
    if (error.code !== 'NOT_FOUND') throw thrown;
    // Not that it is denied: nobody can tell.
    context.env.stderr.write(`${errorText(error, context.screen().paintHint)}\n`);
    return exitCodes.undecided;
  } finally {
    explainer.close();
  }
}

function print({ env, screen }: CommandContext, { output }: OutputOptions, answer: Answer): ExitCode {
  const shown = screen();
  const { explained, unreachable } = answer;
  if (output === 'json' || output === 'yaml') printDocument(shown, output, explanationDocument(answer));
  else {
    const options = { paint: shown.paint, now: env.clock.now(), wide: output === 'wide' };
    for (const line of renderExplanation(explained, options)) shown.data(line);
  }
  return worse(codes[explained.outcome], reportUnreachable(shown, unreachable));
}

const codes = {
  allowed: exitCodes.clean,
  denied: exitCodes.findings,
  depends: exitCodes.findings,
  failed: exitCodes.undecided,
} as const;
