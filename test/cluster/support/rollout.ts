/**
 * What the scenarios about restarts have in common: node programs of this machine's cluster as processes, and load that goes on while something is done to them.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { MeshError } from '../../../src/base/errors.ts';
import { running } from '../commands/context.ts';
import { environment } from '../machine/daemons.ts';
import { execOk, type Finished } from '../machine/exec.ts';
import { runOnNode } from '../machine/node.ts';
import { findNode } from '../machine/state.ts';
import { fabricNetns } from '../plan/layout.ts';
import type { ClusterApi } from './api.ts';
import { context } from './cluster-under-test.ts';
import { eventually } from './eventually.ts';
import { ports } from './fortio.ts';
import { measured } from './measure.ts';
import type { PodRef } from './pod-exec.ts';

const root = join(import.meta.dirname, '..', '..', '..');
const minutes = 60_000;
const annotation = 'ambient.istio.io/redirection';
/** On every node: its disk shows the project's directory too. */
export const program = join(root, 'bin', 'mesh-ebpf');

export async function kubectl(...args: readonly string[]): Promise<string> {
  const { machine } = await running(context);
  const argv = ['kubectl', '--kubeconfig', context.layout.adminKubeconfig, ...args] as const;
  return execOk(argv, { env: { ...process.env, ...environment(machine.bin) }, timeoutMs: 6 * minutes });
}

/** As `kubectl label namespace`, and waits until every pod there bears the annotation, or none does. */
export async function setMeshed(api: ClusterApi, namespace: string, meshed: boolean): Promise<void> {
  await kubectl('label', 'namespace', namespace, `istio.io/dataplane-mode${meshed ? '=ambient' : '-'}`);
  await eventually(
    `every pod of ${namespace} is ${meshed ? '' : 'not '}annotated`,
    async () => (await api.pods(namespace)).map(({ metadata }) => metadata?.annotations?.[annotation]),
    (seen) => seen.length > 0 && seen.every((value) => (value === 'enabled') === meshed),
    minutes,
  );
}

export async function onNode(node: string, script: string): Promise<Finished> {
  const { machine, state } = await running(context);
  return runOnNode(machine, findNode(state, node), ['bash', '-c', script]);
}

/** The worker of the node's keeper. The kernel cuts names at 15 characters. */
export async function workerOf(node: string): Promise<number | undefined> {
  const { stdout } = await onNode(node, 'pgrep -x mesh-ebpf-keepe | xargs -rn1 pgrep -P');
  const pid = Number(stdout.trim().split('\n').at(-1));
  return pid > 0 ? pid : undefined;
}

/** Kills it and waits for the next one to serve. */
export async function killWorker(node: string): Promise<void> {
  const killed = await workerOf(node);
  if (killed === undefined) throw new MeshError('NOT_FOUND', `no node program runs on node ${node}`);
  await onNode(node, `kill -9 ${killed}`);
  await eventually(
    `another node program serves on node ${node}`,
    async () => [await workerOf(node), await isReady(node)] as const,
    ([pid, ready]) => pid !== undefined && pid !== killed && ready,
    minutes,
  );
}

const isReady = async (node: string): Promise<boolean> =>
  (
    await onNode(
      node,
      'exec 3<>/dev/tcp/127.0.0.1/15021 && printf "GET /healthz/ready HTTP/1.0\\r\\n\\r\\n" >&3 && head -1 <&3',
    )
  ).stdout.includes(' 200 ');

export interface Load {
  readonly done: number;
  readonly failed: number;
  /** TCP connections that the client made. */
  readonly connections: number;
  readonly slowestSeconds: number;
}

/** Of a load that was not interrupted by anything: what its requests took, and how many there were a second. */
export interface Latency {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly perSecond: number;
}

export interface LoadOptions {
  /** 0: as fast as possible. */
  readonly perSecond: number;
  readonly seconds: number;
  readonly clients: number;
  /** Each request on a connection of its own. */
  readonly newConnections: boolean;
}

interface FortioReport {
  readonly RetCodes: Readonly<Record<string, number>>;
  readonly SocketCount: number;
  readonly ActualQPS: number;
  readonly DurationHistogram: {
    readonly Max: number;
    readonly Percentiles: readonly { readonly Percentile: number; readonly Value: number }[];
  };
}

/** Requests at a constant rate from a pod, for so long. A request may take ten seconds. */
export async function load(from: PodRef, url: string, options: LoadOptions): Promise<Load & Latency> {
  const { perSecond, seconds, clients, newConnections } = options;
  const args = ['-qps', String(perSecond), '-c', String(clients), '-t', `${seconds}s`, '-timeout', '10s'];
  const text = await kubectl(
    'exec',
    '-n',
    from.namespace,
    from.name,
    '--',
    '/usr/bin/fortio',
    'load',
    '-quiet',
    '-json',
    '-',
    '-nocatchup',
    '-allow-initial-errors',
    `-keepalive=${!newConnections}`,
    // Percentiles are interpolated within steps of this many seconds.
    '-r',
    '0.00005',
    '-p',
    '50,99',
    ...args,
    url,
  );
  const report = JSON.parse(text) as FortioReport;
  const all = Object.values(report.RetCodes).reduce((sum, count) => sum + count, 0);
  return {
    done: all,
    failed: all - (report.RetCodes['200'] ?? 0),
    connections: report.SocketCount,
    slowestSeconds: report.DurationHistogram.Max,
    p50Ms: percentileMs(report, 50),
    p99Ms: percentileMs(report, 99),
    perSecond: report.ActualQPS,
  };
}

const percentileMs = ({ DurationHistogram: { Percentiles } }: FortioReport, wanted: number): number =>
  1000 * (Percentiles.find(({ Percentile }) => Percentile === wanted)?.Value ?? Number.NaN);

/** By its address: a name that cannot be resolved on a busy machine would end the load, and says nothing of the mesh. */
export async function serviceUrl(api: ClusterApi, namespace: string, name: string): Promise<string> {
  const { spec } = await api.core.readNamespacedService({ namespace, name });
  return `http://${spec?.clusterIP}/`;
}

/** Restarts all pods of a Deployment or DaemonSet, batch by batch, and waits until it is done. */
export async function restart(namespace: string, what: string): Promise<void> {
  await kubectl('-n', namespace, 'rollout', 'restart', what);
  await kubectl('-n', namespace, 'rollout', 'status', what, '--timeout=5m');
}

export const upgradeNodePrograms = (): Promise<void> =>
  restart('mesh-ebpf-system', 'daemonset/mesh-ebpf-node');

/** One load after the other until `work` is done, added up. */
export async function loadDuring(
  from: PodRef,
  url: string,
  options: LoadOptions,
  work: () => Promise<unknown>,
): Promise<Load> {
  const progress = { isDone: false };
  const working = work().finally(() => (progress.isDone = true));
  // Told below, or when the load has failed not at all.
  working.catch(() => {});
  const loads: Load[] = [];
  do loads.push(await load(from, url, options));
  while (!progress.isDone);
  await working;
  const sum = (of: (one: Load) => number): number => loads.map(of).reduce((a, b) => a + b, 0);
  return {
    done: sum(({ done }) => done),
    failed: sum(({ failed }) => failed),
    connections: sum(({ connections }) => connections),
    slowestSeconds: Math.max(...loads.map(({ slowestSeconds }) => slowestSeconds)),
  };
}

export const tell = (what: string, { done, failed, slowestSeconds }: Load): void =>
  measured(what, `${failed} of ${done} requests failed, the slowest took ${slowestSeconds.toFixed(2)} s`);

/**
 * Counts packets with something in them to and from the applications' own port between nodes: in the mesh there are
 * none. A reset without a word may cross: the kernel's own answer to what a killed program had left under way.
 */
export class PlaintextWatch {
  readonly #tcpdump: ChildProcess;
  #packets = 0;

  private constructor() {
    const filter = ['-nn', '-l', '-q', '-i', 'node-1', 'tcp', 'port', String(ports.http)];
    this.#tcpdump = spawn('ip', ['netns', 'exec', fabricNetns, 'tcpdump', ...filter], { stdio: 'pipe' });
    const { stdout } = this.#tcpdump;
    if (stdout === null) return;
    // `IP 10.244.1.5.40186 > 10.244.2.7.8080: tcp 64`; at its end it prints an empty line.
    createInterface(stdout).on(
      'line',
      (line) => (this.#packets += / > .*: tcp [1-9]\d*$/.test(line) ? 1 : 0),
    );
  }

  static async start(): Promise<PlaintextWatch> {
    const watch = new PlaintextWatch();
    await new Promise<void>((resolve, reject) => {
      watch.#tcpdump.stderr?.on('data', (text: Buffer) => {
        if (text.includes('listening on')) resolve();
      });
      watch.#tcpdump.once('error', reject).once('exit', () => reject(new Error('tcpdump ended')));
    });
    return watch;
  }

  /** How many packets there were in all. */
  async stop(): Promise<number> {
    const ended = new Promise((resolve) => this.#tcpdump.once('close', resolve));
    this.#tcpdump.removeAllListeners('exit');
    this.#tcpdump.kill('SIGINT');
    await ended;
    return this.#packets;
  }
}

/** As in the container of a pod, without the API server's help. */
export async function execByRuntime(node: string, containerId: string, command: string): Promise<Finished> {
  const id = containerId.replace('containerd://', '');
  const socket = '/run/containerd/containerd.sock';
  return onNode(node, `ctr -a ${socket} -n k8s.io task exec --exec-id t$RANDOM ${id} ${command}`);
}
