/**
 * `mesh-ebpf demo`: starts the lab, makes connections of every kind, and tells for each what three independent
 * witnesses say: the client, the called pod's ztunnel, and somebody listening on the link between the nodes.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { CommandContext, CommandGroup } from '../../cli/command.ts';
import { type ExitCode, exitCodes } from '../../cli/exit-codes.ts';
import type { Screen } from '../../cli/screen.ts';
import { renderTable } from '../../cli/table.ts';
import type { BulkResult } from '../../lab/app/bulk.ts';
import { acts, transfer } from './acts.ts';
import { labClient, type LabClient } from './lab-client.ts';
import { perform, type Stage } from './perform.ts';
import { tellPolicies } from './policy-act.ts';
import { keepToHbone, tellSameNode } from './same-node-act.ts';
import { header, outcomeLine, podColumns, transferLine } from './screen.ts';

export interface DemoDeps {
  readonly program: readonly [string, ...string[]];
  /** Directory of the example's manifests. */
  readonly manifests: string;
  /** Of its policies. */
  readonly policies: string;
  /** Of the act about pods of one node. */
  readonly sameNode: string;
}

interface Flags {
  readonly keep?: boolean;
}

export const addDemoCommand =
  (deps: DemoDeps): CommandGroup =>
  (program: Command, context: CommandContext) => {
    program
      .command('demo')
      .description('start the lab, show connections of every kind going through it, and clean up (root)')
      .option('--keep', 'leave the lab running')
      .action(context.action((flags: Flags) => demo(flags, deps, context)));
  };

async function demo(flags: Flags, deps: DemoDeps, context: CommandContext): Promise<ExitCode> {
  const screen = context.screen();
  const client = labClient(deps.program, context.env);
  screen.data(
    `${screen.paint('bold', 'Starting two nodes on this machine')} (network namespaces, eBPF, mutual TLS)`,
  );
  const scratch = await mkdtemp(join(tmpdir(), 'mesh-ebpf-demo-'));
  try {
    await client.lab('up', '-f', deps.manifests, '--wait', '-o', 'json', '--same-node', 'kernel');
    const wrong = await tell(screen, client, scratch, deps);
    epilogue(screen, flags.keep === true);
    return wrong === 0 ? exitCodes.clean : exitCodes.findings;
  } finally {
    await rm(scratch, { recursive: true, force: true });
    if (flags.keep !== true) screen.data((await client.lab('down')).trimEnd());
  }
}

/** Returns how many connections were not as expected. */
async function tell(screen: Screen, client: LabClient, scratch: string, deps: DemoDeps): Promise<number> {
  // Until the act that shows what changes without.
  await keepToHbone(client, deps.sameNode);
  const { pods, nodes } = await client.status();
  const workloads = (await Promise.all(nodes.map(({ name }) => client.workloads(name)))).flat();
  const rows = pods.map((pod) => ({ pod, workload: workloads.find(({ uid }) => uid === pod.uid) }));
  const layout = { paint: screen.paint, columns: undefined };
  screen.data('');
  for (const line of renderTable(podColumns, rows, layout)) screen.data(line);
  screen.data(`\n${header(screen.paint)}`);
  const stage: Stage = { client, pods, scratch };
  let wrong = 0;
  for (const act of acts) {
    const outcome = await perform(act, stage);
    if (outcome.wrong !== undefined) wrong += 1;
    screen.data(outcomeLine(outcome, screen.paint));
  }
  const { from, to, target, megabytes } = transfer;
  const [result] = await client.app<BulkResult>(from, 'transfer', target, '--megabytes', String(megabytes));
  if (result?.ok !== true) wrong += 1;
  screen.data(
    `\n${from} → ${to}: ${result === undefined ? 'no result' : transferLine(result, screen.paint)}`,
  );
  screen.data(
    screen.paint(
      'dim',
      '\nOn the link: a packet capture between the nodes was searched for the text that was sent. The same search finds it\n' +
        'for the pods outside the mesh, so it would have found it for the others.',
    ),
  );
  wrong += await tellPolicies(screen, stage, deps.policies);
  return wrong + (await tellSameNode(screen, stage, deps.sameNode));
}

function epilogue(screen: Screen, kept: boolean): void {
  const next = kept
    ? [
        'mesh-ebpf connections                 who talked to whom, under which identity',
        'mesh-ebpf explain shop/web db.shop    what would become of a connection, and why',
        'mesh-ebpf maps dump destinations      what the kernel knows, in names',
        'mesh-ebpf lab exec -it web -- sh      a shell inside a pod',
        'mesh-ebpf lab down                    end it all',
      ]
    : [
        'make demo KEEP=1                      the same, and leave it running to look around',
        'mesh-ebpf lab up -f examples/shop     the lab without the tour; examples/shop/README.md has commands to try',
        'mesh-ebpf doctor                      what this kernel has, and what it lacks',
      ];
  screen.data(`\n${screen.paint('bold', 'Try next')} (bin/mesh-ebpf)`);
  for (const line of next) screen.data(`  ${line}`);
  screen.data('');
}
