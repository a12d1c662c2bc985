/** What every lab command is given, and how it reports: results are returned, progress is told while it goes on. */
import type { Clock } from '../../base/clock.ts';
import type { LabLayout } from '../layout.ts';

export interface LabContext {
  readonly layout: LabLayout;
  readonly clock: Clock;
  /** The command that runs this program: [node, entry point]. */
  readonly program: readonly [string, ...string[]];
  /** One line for a waiting person; never a result. */
  readonly progress: (line: string) => void;
  /** Ends the waiting: Ctrl-C. */
  readonly signal: AbortSignal;
}
