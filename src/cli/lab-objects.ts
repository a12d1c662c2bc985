/** `lab apply` and `lab delete`: what runs in the lab. */
import type { Command } from 'commander';
import { Option } from 'commander';
import { MeshError } from '../base/errors.ts';
import type { KubeObject } from '../kube/objects.ts';
import { namespaceOf } from '../kube/objects.ts';
import { applyFiles } from '../lab/commands/apply.ts';
import { labDelete, parseObjectNames } from '../lab/commands/delete.ts';
import { waitForPods } from '../lab/commands/pods-ready.ts';
import type { CommandContext } from './command.ts';
import { examples } from './command.ts';
import { exitCodes } from './exit-codes.ts';
import { labContext, type LabDeps, type WaitFlags, withWait } from './lab-context.ts';
import { printable } from './printable.ts';
import { parseCount, parseName } from './usage.ts';

interface ApplyFlags extends WaitFlags {
  readonly filename: readonly string[];
}

export function addLabApply(lab: Command, context: CommandContext, deps: LabDeps): void {
  const apply = lab
    .command('apply')
    .description('add objects to the lab, or change them')
    .requiredOption('-f, --filename <path...>', 'manifests: files, directories, or - for standard input')
    .addHelpText('after', examples('lab apply -f more.yaml --wait'));
  withWait(apply).action(
    context.action(async (flags: ApplyFlags) => {
      const screen = context.screen();
      const inside = labContext(context.env, screen, deps);
      const admitted = await applyFiles(inside, flags.filename);
      for (const { object, action } of admitted) screen.data(`${nameOf(object)} ${action}`);
      if (flags.wait === true) await waitForPods(inside, flags.timeout);
      return exitCodes.clean;
    }),
  );
}

interface DeleteFlags {
  readonly filename?: readonly string[];
  readonly namespace: string;
  readonly gracePeriod?: number;
  readonly wait: boolean;
}

export function addLabDelete(lab: Command, context: CommandContext, deps: LabDeps): void {
  lab
    .command('delete')
    .description('delete objects by kind and name, or those in manifests')
    .argument('[names...]', 'KIND NAME..., or KIND/NAME...')
    .option('-f, --filename <path...>', 'manifests of the objects to delete')
    .addOption(new Option('-n, --namespace <name>', 'where they are').argParser(parseName).default('default'))
    .addOption(
      new Option('--grace-period <seconds>', 'time for pods to end by themselves').argParser(parseCount),
    )
    .option('--no-wait', 'return before the pods are gone')
    .addHelpText(
      'after',
      examples('lab delete pod web -n shop', 'lab delete svc/web pod/web -n shop', 'lab delete -f more.yaml'),
    )
    .action(
      context.action(async (flags: DeleteFlags, words) => {
        const files = flags.filename ?? [];
        if (words.length + files.length === 0) {
          throw new MeshError('INVALID_ARGUMENT', 'delete what? Give names or -f');
        }
        const screen = context.screen();
        const names = parseObjectNames(words, flags.namespace);
        const options = { names, files, graceSeconds: flags.gracePeriod, wait: flags.wait };
        const deleted = await labDelete(labContext(context.env, screen, deps), options);
        for (const object of deleted) screen.data(`${nameOf(object)} deleted`);
        if (deleted.length === 0) screen.hint('nothing of it is in the lab');
        return exitCodes.clean;
      }),
    );
}

function nameOf(object: KubeObject): string {
  const namespace = namespaceOf(object);
  return printable(
    `${object.kind.toLowerCase()}/${namespace === '' ? '' : `${namespace}/`}${object.metadata.name}`,
  );
}
