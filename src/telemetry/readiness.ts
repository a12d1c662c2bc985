/**
 * Whether the node may be sent traffic, and if not, what it is waiting for. Start-up tasks are named by whoever
 * composes the process and are done in any order; conditions may come and go; shutting down makes it unready for good.
 */
import type { ReadinessBody } from './admin-api.ts';

export class Readiness<Task extends string = string> {
  readonly #pending: Set<Task>;
  readonly #conditions: readonly (readonly [name: string, holds: () => boolean])[];
  #draining = false;

  /** @param conditions what must hold at the moment somebody asks, by name */
  constructor(tasks: readonly Task[], conditions: Readonly<Record<string, () => boolean>> = {}) {
    this.#pending = new Set(tasks);
    this.#conditions = Object.entries(conditions);
  }

  done(task: Task): void {
    this.#pending.delete(task);
  }

  /** From now on never ready again: the load balancer shall look elsewhere. */
  drain(): void {
    this.#draining = true;
  }

  state(): ReadinessBody {
    const pending = this.#draining ? ['shutting down'] : [...this.#pending, ...this.#missing()];
    return { ready: pending.length === 0, pending };
  }

  #missing(): readonly string[] {
    return this.#conditions.filter(([, holds]) => !holds()).map(([name]) => name);
  }
}
