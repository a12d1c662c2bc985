/**
 * Work put off to the end of this turn of the event loop, when all sockets that had something to read were read: one
 * write then carries what many reads produced. One `setImmediate` serves everybody.
 */
export interface TurnTask {
  /** The turn is over, or about to be. */
  endTurn(): void;
}

export class Turn {
  #tasks: TurnTask[] = [];

  /** Runs `task` once, soon. The caller keeps track of whether it asked already. */
  atEnd(task: TurnTask): void {
    if (this.#tasks.push(task) === 1) setImmediate(this.#run);
  }

  readonly #run = (): void => {
    const tasks = this.#tasks;
    this.#tasks = [];
    for (const task of tasks) task.endTurn();
  };
}
