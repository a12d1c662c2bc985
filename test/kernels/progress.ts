/** Tells a waiting person what a guest does. */
import { type Progress, seconds } from '../cluster/machine/progress.ts';
import { silence, type Transcript } from './machine/transcript.ts';

/** To be told of every line; says how long each step took when it has ended. */
export function follower(series: string, progress: Progress): (transcript: Transcript) => void {
  let before = silence;
  let since = performance.now();
  const tell = (what: string): void => {
    const now = performance.now();
    progress(`${series}: ${what} after ${seconds(now - since)}`);
    since = now;
  };
  return (transcript) => {
    const { release, ended } = transcript;
    if (release !== before.release) tell(`${release} is up`);
    for (const { step, status } of ended.slice(before.ended.length)) {
      tell(status === 0 ? `${step} ok` : `${step} FAILED (${status})`);
    }
    before = transcript;
  };
}
