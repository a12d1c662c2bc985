/**
 * `make bench-control`: what following the API costs a node program, at two sizes of the cluster. The pieces:
 * `cluster.ts` makes API server and node, `objects.ts` fills them, `measures.ts` measures, `figures.ts` judges and
 * shows. Everything that is started is ended again, also at Ctrl-C.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { loadNative } from '../../src/native/load.ts';
import { machineFacts, ownVersions } from '../bench/facts.ts';
import { reasonOf, runBench } from '../bench/frame.ts';
import { median } from '../bench/stats.ts';
import { openMaps } from '../cluster/support/kernel-maps.ts';
import { startAuthority } from './authority.ts';
import { type BareCluster, startCluster } from './cluster.ts';
import { figures, judge, type Report, renderReport, type Values } from './figures.ts';
import { measureChanges, measureLabels, measureRest, measureSnapshot, type Subject } from './measures.ts';
import { type Credentials, NodeProgram, removeSnapshot } from './node-program.ts';
import { foundation, morePods, slices, toggled } from './objects.ts';
import { type Options, parseOptions, usage } from './options.ts';
import { startRealPods } from './real-pods.ts';

const progress = (line: string): void => {
  process.stderr.write(`  ${new Date().toISOString().slice(11, 19)}  ${line}\n`);
};

interface Run {
  readonly options: Options;
  readonly cluster: BareCluster;
  readonly credentials: Credentials;
  readonly signal: AbortSignal;
}

async function run(options: Options, signal: AbortSignal): Promise<Report> {
  const facts = { ...machineFacts(), versions: await ownVersions() };
  await using cluster = await startCluster(progress);
  const credentials = await startAuthority(cluster);
  progress('making namespaces, service accounts and Services');
  await cluster.make(foundation());
  await startRealPods(cluster);
  await cluster.api().call(toggled('ambient'));
  const sizes: { pods: number; values: Values }[] = [];
  const problems: string[] = [];
  for (const [i, pods] of options.sizes.entries()) {
    progress(`making pods until there are ${pods}`);
    await cluster.store([...morePods(options.sizes[i - 1] ?? 0, pods), ...slices(pods)]);
    const values: Record<string, number> = {};
    for (const measure of measurements) {
      signal.throwIfAborted();
      await measure({ options, cluster, credentials, signal }).then(
        (found) => {
          Object.assign(values, found);
          progress(`${pods} pods: ${describe(found)}`);
        },
        (error: unknown) => {
          signal.throwIfAborted();
          problems.push(`${pods} pods: ${reasonOf(error)}`);
          progress(problems.at(-1) ?? '');
        },
      );
    }
    sizes.push({ pods, values });
  }
  return { facts, method: methodOf(options), sizes, targets: judge(sizes), problems };
}

const methodOf = ({ starts, changes, labels, restSeconds }: Options): string =>
  `medians of ${starts} starts and ${labels} labellings, ${changes} changes, ${restSeconds} s at rest; node program and keeper together`;

const describe = (values: Values): string =>
  Object.entries(values)
    .map(([id, value]) => {
      const { unit, digits } = figures[id as keyof typeof figures];
      return `${id} ${value.toFixed(digits)} ${unit}`;
    })
    .join(', ');

/** Each begins and ends without a node program. */
const measurements: readonly ((run: Run) => Promise<Values>)[] = [fromApi, atWork, fromSnapshot];

async function fromApi({ cluster, credentials, options: { starts } }: Run): Promise<Values> {
  const { seconds, cpu } = await medianStart(starts, async () => {
    await removeSnapshot(cluster);
    return startedAndStopped(cluster, credentials);
  });
  return { readyFromApi: seconds, cpuFromApi: cpu };
}

/** Leaves a snapshot. */
async function atWork({ cluster, credentials, options, signal }: Run): Promise<Values> {
  await removeSnapshot(cluster);
  const program = await NodeProgram.start(cluster, credentials);
  try {
    await program.whenReady();
    using maps = openMaps(loadNative(), cluster.init);
    const subject: Subject = { cluster, program, maps, signal };
    const labels = await measureLabels(subject, options.labels);
    const changes = await measureChanges(subject, options.changes, 0);
    // The snapshot is written five seconds after the last change.
    await delay(8_000, undefined, { signal });
    return { ...labels, ...changes, ...(await measureRest(subject, options.restSeconds)) };
  } finally {
    await program.stop();
  }
}

async function fromSnapshot({ cluster, credentials, options: { starts } }: Run): Promise<Values> {
  const size = await measureSnapshot(cluster);
  await cluster.stopApiServer();
  try {
    const { seconds, cpu } = await medianStart(starts, () => startedAndStopped(cluster, credentials));
    return { readyFromSnapshot: seconds, cpuFromSnapshot: cpu, ...size };
  } finally {
    await cluster.startApiServer();
  }
}

interface Start {
  /** Until it was ready. */
  readonly seconds: number;
  /** What it used until then. */
  readonly cpu: number;
}

async function startedAndStopped(cluster: BareCluster, credentials: Credentials): Promise<Start> {
  const program = await NodeProgram.start(cluster, credentials);
  try {
    const seconds = (await program.whenReady()) / 1000;
    return { seconds, cpu: (await program.usage()).cpuSeconds };
  } finally {
    await program.stop();
  }
}

async function medianStart(times: number, measure: () => Promise<Start>): Promise<Start> {
  const found: Start[] = [];
  for (let i = 0; i < times; i++) found.push(await measure());
  const of = (pick: (start: Start) => number): number => median(found.map(pick)) ?? Number.NaN;
  return { seconds: of(({ seconds }) => seconds), cpu: of(({ cpu }) => cpu) };
}

await runBench({ name: 'bench-control', parse: parseOptions, usage, run, render: renderReport });
