/** The node program as it is shipped: the bundle, under its keeper, on the measured node. */
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { get } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { adminRequest } from '../../src/cli/admin-client.ts';
import { makeCgroup, processesIn } from '../../src/lab/system/cgroup.ts';
import { inCgroup } from '../../src/lab/system/enter.ts';
import { isAlive, type ProcessRef } from '../../src/lab/system/process.ts';
import { findKeeperProgram } from '../../src/native/keeper-program.ts';
import { cpuSeconds, residentBytes } from '../bench/cpu.ts';
import { root } from '../bench/lab.ts';
import { inNode, startRecorded } from '../cluster/machine/daemons.ts';
import { network, nodeCgroup } from '../cluster/plan/layout.ts';
import { pinRoot } from '../cluster/support/kernel-maps.ts';
import type { BareCluster } from './cluster.ts';

export const caAddress = `${network.host}:15012`;
const patienceMs = 120_000;
const askEveryMs = 10;

export interface Credentials {
  readonly caRoot: string;
  readonly tokenFile: string;
}

export interface Usage {
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  /** The most it ever had, since it started. */
  readonly peakBytes: number;
}

export class NodeProgram {
  readonly #cgroup: string;
  readonly #dir: string;
  readonly #startedAt = performance.now();
  /** Lives as long as the keeper. */
  #starter: ProcessRef | undefined;

  private constructor(cluster: BareCluster) {
    this.#cgroup = join(nodeCgroup(cluster.running.machine.trees.v2, cluster.node), 'mesh');
    this.#dir = cluster.running.machine.layout.node(cluster.node).dir;
  }

  static async start(cluster: BareCluster, { caRoot, tokenFile }: Credentials): Promise<NodeProgram> {
    const { layout, trees, bin } = cluster.running.machine;
    const program = new NodeProgram(cluster);
    await makeCgroup(program.#cgroup);
    const flags = {
      '--node-name': cluster.node.name,
      '--kubeconfig': layout.adminKubeconfig,
      '--cgroup-root': nodeCgroup(trees.v2, cluster.node),
      '--pin-root': pinRoot,
      '--run-dir': program.#dir,
      '--ready-socket': program.#readySocket,
      '--ca-address': caAddress,
      '--ca-root': caRoot,
      '--token-file': tokenFile,
    };
    const command = [join(root, 'bin', 'mesh-ebpf'), 'node', ...Object.entries(flags).flat()];
    const argv = await inNode(layout, cluster.node, [findKeeperProgram(), '--', ...command]);
    program.#starter = await startRecorded(layout, 'mesh-ebpf', inCgroup(program.#cgroup, argv), bin);
    return program;
  }

  get #readySocket(): string {
    return join(this.#dir, 'ready.sock');
  }

  /** Milliseconds from its start until it said that it is ready. @throws Error when it never does */
  async whenReady(): Promise<number> {
    const deadline = performance.now() + patienceMs;
    while (!(await this.#isReady())) {
      if (this.#starter === undefined || !isAlive(this.#starter)) throw new Error('the node program ended');
      if (performance.now() > deadline) throw new Error(`not ready after ${patienceMs / 1000} s`);
      await delay(askEveryMs);
    }
    return performance.now() - this.#startedAt;
  }

  #isReady(): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    get({ socketPath: this.#readySocket, path: '/healthz/ready', agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    }).on('error', () => resolve(false));
    return promise;
  }

  /** Its admin API's answer. @throws MeshError */
  async ask(target: string): Promise<unknown> {
    const signal = AbortSignal.timeout(patienceMs);
    return (await adminRequest(join(this.#dir, 'admin.sock'), { method: 'GET', target, signal })).document;
  }

  /** Of keeper and worker. */
  async usage(): Promise<Usage> {
    const pids = (await this.#processes()).map(({ pid }) => pid);
    return {
      cpuSeconds: cpuSeconds(pids),
      residentBytes: residentBytes(pids),
      peakBytes: pids.map(peakBytes).reduce((sum, bytes) => sum + bytes, 0),
    };
  }

  /** Without the tools by which it was put on the node. */
  async #processes(): Promise<readonly { readonly pid: number; readonly command: string }[]> {
    const pids = await processesIn(this.#cgroup);
    return pids
      .map((pid) => ({ pid, command: readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0') }))
      .filter(({ command }) => /mesh-ebpf-keeper$|\/node$/.test(command[0] ?? ''))
      .map(({ pid, command }) => ({ pid, command: command[0] ?? '' }));
  }

  /** Asks it to stop, and waits until it has written its snapshot and is gone. */
  async stop(): Promise<void> {
    const processes = await this.#processes();
    const keeper = processes.find(({ command }) => command.endsWith('keeper'));
    if (keeper !== undefined) process.kill(keeper.pid, 'SIGTERM');
    const deadline = performance.now() + patienceMs;
    while ((await processesIn(this.#cgroup)).length > 0) {
      if (performance.now() > deadline) throw new Error('the node program does not stop');
      await delay(askEveryMs);
    }
  }
}

function peakBytes(pid: number): number {
  const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  if (kilobytes === undefined) throw new Error(`process ${pid} has ended`);
  return Number(kilobytes) * 1024;
}

/** So that the next start has nothing but the API server. */
export const removeSnapshot = ({ running, node }: BareCluster): Promise<void> =>
  rm(running.machine.layout.node(node).disk('/var/lib/mesh-ebpf', 'node', 'objects.snapshot'), {
    force: true,
  });
