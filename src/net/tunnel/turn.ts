/**
 * Work put off until all sockets that had something to read were read, which is the end of the event loop's round: one
 * write then carries what many reads produced. While reads come one by one, that would only cost: a TLS write that is not made
 * within a read's own callback makes the loop go round twice more. So then it is put off to the end of that callback.
 */
import { performance } from 'node:perf_hooks';

export interface TurnTask {
  /** All that there is to write for now was given. */
  endTurn(): void;
}

/** Rounds for which work is gathered before it is tried again without. */
const gatheredRounds = 64;

/** How often the event loop has gone round. */
const loopRounds = (): number => performance.nodeTiming.uvMetricsInfo.loopCount;

export class Turn {
  readonly #round: () => number;
  #tasks: TurnTask[] = [];
  /** Rounds for which work is still gathered. */
  #gathering = gatheredRounds;
  /** When work was done last without gathering. */
  #lastRound = -1;

  constructor(round: () => number = loopRounds) {
    this.#round = round;
  }

  /** Runs `task` once, soon. The caller keeps track of whether it asked already. */
  atEnd(task: TurnTask): void {
    if (this.#tasks.push(task) > 1) return;
    if (this.#gathering > 0) setImmediate(this.#run);
    else process.nextTick(this.#run);
  }

  readonly #run = (): void => {
    const tasks = this.#tasks;
    this.#tasks = [];
    this.#adapt();
    for (const task of tasks) task.endTurn();
  };

  /** Work twice in a round: it pays to gather. */
  #adapt(): void {
    if (this.#gathering > 0) {
      this.#gathering -= 1;
      return;
    }
    const round = this.#round();
    if (round === this.#lastRound) this.#gathering = gatheredRounds;
    this.#lastRound = round;
  }
}
