/**
 * Starts each node's kubelet, detached, in its namespace and cgroup, and waits until all of them serve. From then on a
 * kubelet that ends is started again: the process returned is the shell that does so.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { MeshError } from '../../base/errors.ts';
import { nodesOf } from '../lab-file.ts';
import type { LabState } from '../lab-file.ts';
import { netnsPath, nodeCgroups, nodeNetns } from '../layout.ts';
import type { LabLayout } from '../layout.ts';
import { readNodeReport } from '../node-report.ts';
import { inCgroup, inNetns, keptRunning } from '../system/enter.ts';
import { isAlive, processRef } from '../system/process.ts';
import type { ProcessRef } from '../system/process.ts';
import { systemPath } from '../system/run.ts';
import type { LabContext } from './context.ts';
import { waitFor } from './wait.ts';

/** For a slow machine, where nobody asks for more: one that ends is noticed at once. */
const patienceMs = 60_000;

/**
 * @param waitMs how long the user is willing to wait for the pods, and so for these
 * @throws MeshError UNAVAILABLE with the end of its log when a kubelet ends, TIMEOUT when one does not serve.
 */
export async function startKubelets(
  context: LabContext,
  state: LabState,
  waitMs = 0,
): Promise<Record<string, ProcessRef>> {
  const started = nodesOf(state).map(({ name }) => [name, startKubelet(context, state, name)] as const);
  await waitFor(context, {
    timeoutMs: Math.max(patienceMs, waitMs),
    missing: async () => {
      const waiting = await Promise.all(started.map(([node, ref]) => missing(context.layout, node, ref)));
      const names = waiting.filter((name) => name !== undefined);
      return names.length === 0 ? undefined : `waiting for ${names.join(', ')}`;
    },
  });
  return Object.fromEntries(started);
}

function startKubelet({ layout }: LabContext, state: LabState, node: string): ProcessRef {
  const log = openSync(layout.node(node).kubeletLog, 'a');
  const kubelet = [...state.program, 'lab-kubelet', '--node', node, '--state-dir', layout.stateDir] as const;
  const placed = keptRunning(layout.node(node).report, inNetns(netnsPath(nodeNetns(node)), kubelet));
  const [file, ...args] = inCgroup(nodeCgroups(state.cgroup2, node).system, placed);
  const env = { PATH: systemPath, HOME: '/root' };
  const child = spawn(file, args, { env, cwd: '/', stdio: ['ignore', log, log], detached: true });
  closeSync(log);
  child.unref();
  const ref = child.pid === undefined ? undefined : processRef(child.pid);
  if (ref === undefined) throw new MeshError('UNAVAILABLE', `the kubelet of ${node} could not be started`);
  return ref;
}

async function missing(layout: LabLayout, node: string, ref: ProcessRef): Promise<string | undefined> {
  if ((await readNodeReport(layout.node(node))) !== undefined) return undefined;
  if (isAlive(ref)) return node;
  const log = await readFile(layout.node(node).kubeletLog, 'utf8').catch(() => '');
  const end = log.trim().split('\n').slice(-5).join('\n');
  throw new MeshError('UNAVAILABLE', `the kubelet of ${node} ended:\n${end}`);
}
