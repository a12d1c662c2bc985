/**
 * Whether the node may be sent traffic, and if not, what it is waiting for. Start-up tasks are named by whoever
 * composes the process and are done in any order; shutting down makes it unready for good.
 */
import type { ReadinessBody } from './admin-api.ts';

export class Readiness<Task extends string = string> {
  readonly #pending: Set<Task>;
  #draining = false;

  constructor(tasks: readonly Task[]) {
    this.#pending = new Set(tasks);
  }

  done(task: Task): void {
    this.#pending.delete(task);
  }

  /** From now on never ready again: the load balancer shall look elsewhere. */
  drain(): void {
    this.#draining = true;
  }

  state(): ReadinessBody {
    const pending: string[] = this.#draining ? ['shutting down'] : [...this.#pending];
    return { ready: pending.length === 0, pending };
  }
}
