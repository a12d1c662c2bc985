/**
 * `bench`: plays the scenarios of the table one after the other, outside the mesh and in it, on the cluster of this
 * machine, in one run. A missed target is a result, not a failure: that something could not be measured is one.
 */
import { asMeshError, MeshError } from '../../../src/base/errors.ts';
import { machineFacts, ownVersions } from '../../bench/facts.ts';
import type { Report } from '../../bench/report.ts';
import { collect, type Measurement } from '../../bench/results.ts';
import { describeSample } from '../../bench/rows/row.ts';
import { rotated } from '../../bench/stats.ts';
import { judge } from '../../bench/targets.ts';
import { down } from '../commands/down.ts';
import { up } from '../commands/up.ts';
import { seconds } from '../machine/progress.ts';
import { readState } from '../machine/state.ts';
import { versions } from '../versions.ts';
import { context } from '../support/cluster-under-test.ts';
import { kubectl } from '../support/rollout.ts';
import type { ClusterRow } from './row.ts';
import { controlRows } from './rows/control.ts';
import { nodeRows } from './rows/nodes.ts';
import { restartRows } from './rows/restarts.ts';
import { steadyRows } from './rows/steady.ts';
import { setStage, type Stage } from './stage.ts';
import { clusterTargets } from './targets.ts';

export const clusterRows: readonly ClusterRow[] = [
  ...steadyRows,
  ...controlRows,
  ...restartRows,
  ...nodeRows,
];

export interface BenchOptions {
  readonly rows: readonly ClusterRow[];
  /** How often the steady rows are measured; whatever restarts something, once. */
  readonly rounds: number;
  /** The cluster is left running. */
  readonly keep: boolean;
  /** What has not begun by then is not measured, and said to be missing. */
  readonly maxMinutes: number;
}

/** On a cluster that is up already, or on one that is started now, and ended unless `keep`. */
export async function bench({ rows, rounds, keep, maxMinutes }: BenchOptions): Promise<Report> {
  const machine = machineFacts();
  const isUp = (await readState(context.layout))?.complete === true;
  if (!isUp) {
    await up(context, { owner: 'person', nodeCount: 2, proxyMode: 'nftables', dualStack: false });
  }
  try {
    const facts = { ...machine, versions: await versionsHere() };
    const stage = await setStage();
    const begunAt = performance.now();
    const { measurements, problems } = await play(
      stage,
      turnsOf(rows, rounds),
      begunAt + maxMinutes * 60_000,
    );
    const took = `took ${seconds(performance.now() - begunAt)}`;
    context.progress(took);
    const results = collect(rows, measurements);
    const targets = judge(results, clusterTargets);
    return {
      facts,
      method: `${method}; ${took}`,
      rounds,
      variants: ['none', 'mesh'],
      rows: results,
      targets,
      problems,
    };
  } finally {
    if (!keep && !isUp) await down(context);
  }
}

async function versionsHere(): Promise<string> {
  const { serverVersion } = JSON.parse(await kubectl('version', '-o', 'json')) as {
    readonly serverVersion: { readonly gitVersion: string };
  };
  return `${await ownVersions()}; Kubernetes ${serverVersion.gitVersion}, fortio ${versions.fortio}`;
}

const method =
  'fortio in a pod, through Services, two nodes on this machine; medians where a row is measured in rounds';

interface Turn {
  readonly row: ClusterRow;
  readonly side: ClusterRow['sides'][number];
}

/** Steady load in rounds, first one side first, then the other; what restarts things once, in order. */
function turnsOf(rows: readonly ClusterRow[], rounds: number): readonly Turn[] {
  const steady = rows.filter((row) => steadyRows.includes(row));
  const once = rows.filter((row) => !steadyRows.includes(row));
  const rounded = Array.from({ length: rounds }, (_, round) =>
    steady.flatMap((row) => turnsOfRow(row, round)),
  );
  return [...rounded.flat(), ...once.flatMap((row) => turnsOfRow(row, 0))];
}

const turnsOfRow = (row: ClusterRow, round: number): readonly Turn[] =>
  rotated(row.sides, round).map((side) => ({ row, side }));

async function play(
  stage: Stage,
  turns: readonly Turn[],
  deadline: number,
): Promise<{ readonly measurements: readonly Measurement[]; readonly problems: readonly string[] }> {
  const measurements: Measurement[] = [];
  const problems: string[] = [];
  for (const [i, { row, side }] of turns.entries()) {
    const what = `[${i + 1}/${turns.length}] ${row.title}: ${side}`;
    try {
      if (performance.now() > deadline) throw new MeshError('TIMEOUT', 'its turn came too late');
      const sample = await row.measure(stage, stage.places[side]);
      measurements.push({ row, variant: side, sample });
      context.progress(`${what}: ${describeSample(sample, row)}`);
    } catch (thrown) {
      const problem = `${row.title}: ${side}: ${asMeshError(thrown).message}`;
      problems.push(problem);
      context.progress(`${what}: ${problem}`);
    }
  }
  return { measurements, problems };
}
