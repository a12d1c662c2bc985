/** Starts, finds and ends the cluster's daemons. Each is known by a file with its process id and start time. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { MeshError } from '../../../src/base/errors.ts';
import { type Argv, inCgroup } from '../../../src/lab/system/enter.ts';
import { isAlive, type ProcessRef, processRef, signalProcess } from '../../../src/lab/system/process.ts';
import { systemPath } from '../../../src/lab/system/run.ts';
import type { DaemonPlan } from '../plan/daemons.ts';
import { type ClusterLayout, type ClusterNode, controlCgroup, systemCgroup } from '../plan/layout.ts';
import type { CgroupTrees } from './cgroups.ts';
import { startDetached } from './exec.ts';

export interface Machine {
  readonly layout: ClusterLayout;
  readonly trees: CgroupTrees;
  /** Of the programs that were built. */
  readonly bin: string;
}

/** The record of a node itself: its process 1, as the host sees it. */
export const initRecord = ({ name }: ClusterNode): string => `init@${name}`;

export const environment = (bin: string): NodeJS.ProcessEnv => ({
  PATH: `${bin}:${systemPath}`,
  HOME: '/root',
});

/** @throws MeshError ALREADY_EXISTS when it runs */
export async function startDaemon(machine: Machine, plan: DaemonPlan): Promise<void> {
  const { layout, trees, bin } = machine;
  if ((await findProcess(layout, plan.name)) !== undefined) {
    throw new MeshError('ALREADY_EXISTS', `${plan.name} is running`);
  }
  const cgroup = plan.node === undefined ? controlCgroup(trees.v2) : systemCgroup(trees.v2, plan.node);
  const argv = plan.node === undefined ? plan.argv : await inNode(layout, plan.node, plan.argv);
  await startRecorded(layout, plan.name, inCgroup(cgroup, argv), bin);
}

/** Starts a process that outlives us and remembers it by name. */
export async function startRecorded(
  layout: ClusterLayout,
  name: string,
  argv: Argv,
  bin: string,
): Promise<ProcessRef> {
  await mkdir(dirname(layout.log(name)), { recursive: true });
  const ref = processRef(await startDetached(argv, layout.log(name), environment(bin)));
  if (ref === undefined) throw endedError(layout, name);
  await record(layout, name, ref);
  return ref;
}

export async function record(layout: ClusterLayout, name: string, ref: ProcessRef): Promise<void> {
  await mkdir(dirname(layout.pid(name)), { recursive: true });
  await writeFile(layout.pid(name), JSON.stringify(ref));
}

/** The process of that name; undefined when it was never started, was stopped, or died. */
export async function findProcess(layout: ClusterLayout, name: string): Promise<ProcessRef | undefined> {
  const text = await readFile(layout.pid(name), 'utf8').catch(() => undefined);
  const ref = text === undefined ? undefined : (JSON.parse(text) as ProcessRef);
  return ref !== undefined && isAlive(ref) ? ref : undefined;
}

/** A command line that runs `argv` as on the node. @throws MeshError UNAVAILABLE when the node is down */
export async function inNode(layout: ClusterLayout, node: ClusterNode, argv: Argv): Promise<Argv> {
  const init = await findProcess(layout, initRecord(node));
  if (init === undefined) {
    throw new MeshError('UNAVAILABLE', `${node.name} does not run`, {
      hint: `npm run cluster -- reboot ${node.number}`,
    });
  }
  return ['nsenter', `--target=${init.pid}`, '--net', '--mount', '--pid', '--uts', '--', ...argv];
}

/** More than any component takes to end in order. */
const stopTimeoutMs = 15_000;

/** Ends a daemon and waits until it is gone. False when it did not run. */
export async function stopDaemon(
  layout: ClusterLayout,
  plan: DaemonPlan,
  signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM',
): Promise<boolean> {
  const ref = await findProcess(layout, plan.name);
  if (ref === undefined) return false;
  // On a node, what we started only waits for the daemon, which it had to start in the node's process namespace.
  const children = plan.node === undefined ? [] : childrenOf(ref);
  const targets = children.length === 0 ? [ref] : children;
  for (const target of targets) signalProcess(target, signal);
  if (!(await whenGone([ref, ...targets], stopTimeoutMs))) {
    for (const target of [ref, ...targets]) signalProcess(target, 'SIGKILL');
    await whenGone([ref, ...targets], stopTimeoutMs);
  }
  await rm(layout.pid(plan.name), { force: true });
  return true;
}

export function childrenOf({ pid }: ProcessRef): readonly ProcessRef[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return text
    .split(' ')
    .filter((word) => word !== '')
    .flatMap((word) => processRef(Number(word)) ?? []);
}

/** False when some still run after `timeoutMs`. */
export async function whenGone(refs: readonly ProcessRef[], timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (refs.some(isAlive)) {
    if (performance.now() > deadline) return false;
    await delay(20);
  }
  return true;
}

/** What a daemon that should run said last. */
export function endedError(layout: ClusterLayout, name: string): MeshError {
  return new MeshError('UNAVAILABLE', `${name} ended: ${lastLines(layout.log(name))}`, {
    hint: `its log is ${layout.log(name)}`,
  });
}

function lastLines(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim().split('\n').slice(-3).join('; ').slice(-600);
  } catch {
    return 'it said nothing';
  }
}
