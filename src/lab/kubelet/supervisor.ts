/**
 * Keeps one of the mesh's own processes running on a node, as a DaemonSet would: started in its cgroup, its output in
 * a log, started again after a delay when it ends. It outlives its kubelet; the next one takes it on.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { ReportedProcess } from '../node-report.ts';
import { afterExit, restartDelayMs, restartsSoFar } from '../plan/restart.ts';
import { inCgroup } from '../system/enter.ts';
import type { Argv } from '../system/enter.ts';
import { processRef, whenEnded } from '../system/process.ts';
import type { ProcessRef } from '../system/process.ts';
import { systemPath } from '../system/run.ts';

export interface SupervisedSpec {
  readonly name: string;
  readonly argv: Argv;
  readonly cgroup: string;
  readonly logFile: string;
}

export interface SupervisorDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly onChange: () => void;
}

export class Supervisor {
  readonly #spec: SupervisedSpec;
  readonly #deps: SupervisorDeps;
  #process: ProcessRef | undefined;
  #restarts = restartsSoFar(0);
  #lastExit: string | undefined;

  constructor(spec: SupervisedSpec, deps: SupervisorDeps) {
    this.#spec = spec;
    this.#deps = deps;
  }

  get state(): ReportedProcess {
    return {
      name: this.#spec.name,
      ...(this.#process === undefined ? {} : { process: this.#process }),
      restarts: this.#restarts.total,
      ...(this.#lastExit === undefined ? {} : { lastExit: this.#lastExit }),
    };
  }

  /** @param left what an earlier kubelet reported: its process goes on if it lives */
  begin(left: ReportedProcess | undefined): void {
    this.#restarts = restartsSoFar(left?.restarts ?? 0);
    this.#lastExit = left?.lastExit;
    if (left?.process === undefined) return this.#start();
    const startedAt = performance.now();
    this.#process = left.process;
    void whenEnded(left.process, this.#deps.clock).then(() => this.#ended('unknown', startedAt));
  }

  #start(): void {
    const startedAt = performance.now();
    const log = openSync(this.#spec.logFile, 'a');
    const [file, ...args] = inCgroup(this.#spec.cgroup, this.#spec.argv);
    const env = { PATH: systemPath, HOME: '/root' };
    const child = spawn(file, args, { env, stdio: ['ignore', log, log], detached: true });
    closeSync(log);
    this.#process = child.pid === undefined ? undefined : processRef(child.pid);
    child.once('error', (error) => this.#ended(error.message, startedAt));
    child.once('exit', (code, signal) => this.#ended(signal ?? `exit code ${code}`, startedAt));
    this.#deps.onChange();
  }

  #ended(how: string, startedAt: number): void {
    this.#process = undefined;
    this.#lastExit = how;
    this.#restarts = afterExit(this.#restarts, performance.now() - startedAt);
    const waitMs = restartDelayMs(this.#restarts);
    this.#deps.log.warn(
      { process: this.#spec.name, how, waitMs },
      'a process of the mesh ended; it is started again',
    );
    this.#deps.clock.after(waitMs, () => this.#start());
    this.#deps.onChange();
  }
}
