/** The bench's topology: the project's own lab, brought up and down through the command line as a person would. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { nodesOf, readLabState, requireLab } from '../../src/lab/lab-file.ts';
import { labLayout, labPrefix, netnsDir, nodeCgroups, nodeNetns } from '../../src/lab/layout.ts';
import { readNodeReport } from '../../src/lab/node-report.ts';
import { findPod } from '../../src/lab/plan/find-pod.ts';
import { objectsOfKind } from '../../src/lab/plan/objects.ts';
import { readPodRecord } from '../../src/lab/pod-record.ts';
import { inCgroup, inPod } from '../../src/lab/system/enter.ts';
import { childOf } from '../../src/lab/system/process.ts';
import { ObjectStore } from '../../src/lab/system/object-store.ts';
import { type Argv, output } from './process.ts';

export const layout = labLayout();
export const root = join(import.meta.dirname, '..', '..');
export const cli = join(root, 'bin', 'mesh-ebpf');

const waitForOthersMs = 600_000;
const askEveryMs = 5000;

/** A pod of the lab: where it is and how to run something in it. */
export interface LabPod {
  readonly namespace: string;
  readonly name: string;
  readonly ip: string;
  /** The command line that runs `argv` in the pod; the process started becomes the program itself. */
  command(argv: Argv): Argv;
}

export interface Reporting {
  readonly progress: (line: string) => void;
  readonly signal: AbortSignal;
}

/** There can be one lab on a machine: waits for another one to end, then starts ours; it ends with the disposal. */
export async function startLab(manifest: string, reporting: Reporting): Promise<AsyncDisposable> {
  const { progress, signal } = reporting;
  const deadline = Date.now() + waitForOthersMs;
  await waitForOthers(deadline, reporting);
  progress('starting the lab');
  while (!(await tryStart(manifest))) {
    await delay(askEveryMs, undefined, { signal });
    await waitForOthers(deadline, reporting);
  }
  if (signal.aborted) await endLab();
  signal.throwIfAborted();
  return { [Symbol.asyncDispose]: endLab };
}

/** Pods choose by annotation. */
const withinNode = ['--same-node', 'kernel', '--accelerate', 'auto'];

/** False when somebody else was faster. Not interruptible: a lab that is half up would be left behind. */
async function tryStart(manifest: string): Promise<boolean> {
  try {
    await output([cli, 'lab', 'up', '--wait', ...withinNode, '--filename', manifest], 120_000);
    await forgetEndedConnections();
    return true;
  } catch (error) {
    if (/running already|of another lab is left/.test(String(error))) return false;
    await endLab();
    throw error;
  }
}

/**
 * The nodes' connection tracking remembers a connection for two minutes after its end, and drops packets when it is full, which
 * 14 000 a second fill: a measurement of it, and of nothing else.
 */
async function forgetEndedConnections(): Promise<void> {
  const seconds = ['time_wait', 'close'].map((state) => `net.netfilter.nf_conntrack_tcp_timeout_${state}=1`);
  for (const { name } of nodesOf(await requireLab(layout))) {
    await output(['ip', 'netns', 'exec', nodeNetns(name), 'sysctl', '-qw', ...seconds], 10_000);
  }
}

async function waitForOthers(deadline: number, { progress, signal }: Reporting): Promise<void> {
  for (let asked = 0; await isLabUp(); asked++) {
    if (Date.now() > deadline) throw new Error('another lab keeps running; end it with: mesh-ebpf lab down');
    if (asked % 6 === 0) progress('another lab is running: waiting for it to end (mesh-ebpf lab down)');
    await delay(askEveryMs, undefined, { signal });
  }
}

async function isLabUp(): Promise<boolean> {
  return (
    (await readLabState(layout)) !== undefined || namespaces().some((name) => name.startsWith(labPrefix))
  );
}

function namespaces(): readonly string[] {
  try {
    return readdirSync(netnsDir);
  } catch {
    return [];
  }
}

/** Not interruptible: it is what an interruption leads to. */
const endLab = async (): Promise<void> => {
  await output([cli, 'lab', 'down'], 60_000);
};

export async function labPod(namespace: string, name: string): Promise<LabPod> {
  const state = await requireLab(layout);
  const pod = findPod(objectsOfKind(new ObjectStore(layout).read(), 'Pod'), { namespace, name });
  const record = await readPodRecord(layout.pod(namespace, name));
  const ip = pod.status?.podIP;
  if (record === undefined || ip === undefined) throw new Error(`pod ${namespace}/${name} does not run`);
  const cgroup = nodeCgroups(state.cgroup2, pod.spec.nodeName ?? '').pod(record.uid);
  return { namespace, name, ip, command: (argv) => inCgroup(cgroup, inPod(record.holder, argv)) };
}

/** The process id of a node's program. */
export async function meshPid(node: string): Promise<number> {
  const names = nodesOf(await requireLab(layout)).map(({ name }) => name);
  const pid = (await meshPids())[names.indexOf(node)];
  if (pid === undefined) throw new Error(`the lab has no node ${node}`);
  return pid;
}

/** The node programs' process ids, one a node. */
export async function meshPids(): Promise<readonly number[]> {
  const nodes = nodesOf(await requireLab(layout));
  const reports = await Promise.all(nodes.map(({ name }) => readNodeReport(layout.node(name))));
  return reports.map((report, i) => {
    const keeper = report?.processes.find(({ name }) => name === 'node')?.process;
    const found = keeper && childOf(keeper);
    if (found === undefined) throw new Error(`the node program of ${nodes[i]?.name} does not run`);
    return found.pid;
  });
}
