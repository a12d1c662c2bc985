/** Stops and starts single daemons, and keeps, empties and brings back etcd: what goes wrong in real clusters. */
import { cp, mkdir, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { MeshError } from '../../../src/base/errors.ts';
import { startDaemon, stopDaemon } from '../machine/daemons.ts';
import { step } from '../machine/progress.ts';
import { controlPlaneDaemons, findDaemon } from '../plan/daemons.ts';
import { ClusterApi } from '../support/api.ts';
import { type ClusterContext, running, type Running } from './context.ts';
import { whenApiServerReady } from './up.ts';

/** `name` as `status` shows it: `kube-apiserver`, `kubelet@node-1`. @throws MeshError UNAVAILABLE when it does not run */
export async function stop(
  context: ClusterContext,
  name: string,
  signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM',
): Promise<void> {
  const { settings, machine } = await running(context);
  const daemon = findDaemon(settings, name);
  const stopped = await step(context.progress, `stopping ${name}`, () =>
    stopDaemon(machine.layout, daemon, signal),
  );
  if (!stopped) throw new MeshError('UNAVAILABLE', `${name} does not run`);
}

/** @throws MeshError ALREADY_EXISTS when it runs */
export async function start(context: ClusterContext, name: string): Promise<void> {
  const { settings, machine } = await running(context);
  await startDaemon(machine, findDaemon(settings, name));
  if (name !== 'kube-apiserver') return;
  const api = ClusterApi.fromFile(machine.layout.adminKubeconfig);
  await step(context.progress, 'waiting for the API server', () => whenApiServerReady(machine.layout, api));
}

/** Copies the cluster's whole state to a directory that is not there yet. */
export async function saveEtcd(context: ClusterContext, directory: string): Promise<void> {
  if (existsSync(directory)) throw new MeshError('ALREADY_EXISTS', `${directory} exists already`);
  await withoutStore(context, async ({ machine }) => {
    await mkdir(dirname(directory), { recursive: true });
    await cp(machine.layout.etcdData, directory, { recursive: true });
  });
}

/** Puts the state back that was saved: the cluster goes back in time, revisions included. */
export async function restoreEtcd(context: ClusterContext, directory: string): Promise<void> {
  if (!existsSync(directory)) throw new MeshError('NOT_FOUND', `there is no ${directory}`);
  await withoutStore(context, async ({ machine }) => {
    await rm(machine.layout.etcdData, { recursive: true, force: true });
    await cp(directory, machine.layout.etcdData, { recursive: true });
  });
}

/** Every object is gone; kubelets register only when they start, and DNS has to be applied again. */
export async function wipeEtcd(context: ClusterContext): Promise<void> {
  await withoutStore(context, ({ machine }) => rm(machine.layout.etcdData, { recursive: true, force: true }));
}

/** Whoever holds a copy of what etcd had goes down with it; on the nodes, kubelets have to bear it. */
async function withoutStore(
  context: ClusterContext,
  work: (cluster: Running) => Promise<void>,
): Promise<void> {
  const cluster = await running(context);
  const { machine, settings } = cluster;
  const daemons = controlPlaneDaemons(settings);
  // An API server that is asked waits for its watchers; nothing is lost when it is not.
  for (const daemon of daemons.toReversed()) await stopDaemon(machine.layout, daemon, 'SIGKILL');
  try {
    await work(cluster);
  } finally {
    for (const { name } of daemons) await start(context, name);
  }
}
