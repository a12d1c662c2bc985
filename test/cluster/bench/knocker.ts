/** Knocks at a Service from inside a pod, every few milliseconds, and says when it was let in and when refused. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { MeshError } from '../../../src/base/errors.ts';
import { running } from '../commands/context.ts';
import { commandOnNode } from '../machine/node.ts';
import { findNode } from '../machine/state.ts';
import { containerdSocket } from '../plan/node-files.ts';
import { context } from '../support/cluster-under-test.ts';
import { onNode } from '../support/rollout.ts';

export type Answer = 'let in' | 'refused';

const patienceMs = 90_000;

export class Knocker implements AsyncDisposable {
  readonly #child: ChildProcess;
  #listener: (answer: Answer, atMs: number) => void = () => {};

  private constructor(child: ChildProcess) {
    this.#child = child;
    if (child.stdout === null) return;
    // `1767225600123.4 refused`: milliseconds since the epoch, on the clock that all of this machine's nodes share.
    createInterface(child.stdout).on('line', (line) => {
      const [at = '', ...answer] = line.split(' ');
      this.#listener(answer.join(' ') as Answer, Number(at));
    });
  }

  /** In the network namespace of a container on a node, and in the node's cgroup: captured as the pod is. */
  static async start(nodeName: string, containerId: string, url: string): Promise<Knocker> {
    const { machine, state } = await running(context);
    const inPod = ['nsenter', `--net=/proc/${await pidOf(nodeName, containerId)}/ns/net`] as const;
    const knock = [process.execPath, join(import.meta.dirname, 'knock.ts'), url];
    const [file, ...args] = await commandOnNode(machine, findNode(state, nodeName), [...inPod, ...knock]);
    const knocker = new Knocker(spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] }));
    await knocker.untilNext('let in');
    return knocker;
  }

  /** Milliseconds from now to the answer. @throws MeshError TIMEOUT */
  untilNext(answer: Answer): Promise<number> {
    const askedAt = performance.timeOrigin + performance.now();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new MeshError('TIMEOUT', `no connection was ${answer} in ${patienceMs / 1000} s`)),
        patienceMs,
      );
      this.#listener = (heard, atMs) => {
        if (heard !== answer || atMs < askedAt) return;
        clearTimeout(timer);
        this.#listener = () => {};
        resolve(atMs - askedAt);
      };
    });
  }

  /** It ends when its input does. */
  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.stdin?.end();
    await ended;
  }
}

/** The container's first process, as the node counts. */
async function pidOf(node: string, containerId: string): Promise<number> {
  const { stdout } = await onNode(node, `ctr -a ${containerdSocket} -n k8s.io task ls`);
  const line = stdout.split('\n').find((each) => each.startsWith(containerId));
  const pid = Number(line?.split(/\s+/)[1]);
  if (pid > 0) return pid;
  throw new MeshError('NOT_FOUND', `container ${containerId.slice(0, 12)} does not run on node ${node}`);
}
