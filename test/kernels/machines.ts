/** What a kernel is to do, split over machines: there are more kernels than processors, and none of these is to idle. Pure. */
import type { Step } from './steps.ts';

/** Of a kernel. To start one takes ten seconds: not for less than a few minutes of work. */
const most = 2;
const worthSplittingSeconds = 120;

/** So that all machines of a kernel end at about the same time; each does its steps in the order they were given. */
export function splitOverMachines(steps: readonly Step[]): readonly (readonly Step[])[] {
  const all = steps.reduce((sum, { usualSeconds }) => sum + usualSeconds, 0);
  const loads = Array.from({ length: all < worthSplittingSeconds ? 1 : most }, () => 0);
  const machineOf = new Map<Step, number>();
  for (const step of steps.toSorted((a, b) => b.usualSeconds - a.usualSeconds)) {
    const machine = loads.indexOf(Math.min(...loads));
    machineOf.set(step, machine);
    loads[machine] = (loads[machine] ?? 0) + step.usualSeconds;
  }
  return loads
    .map((_, machine) => steps.filter((step) => machineOf.get(step) === machine))
    .filter((part) => part.length > 0);
}
