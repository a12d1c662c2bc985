/** Time and randomness as dependencies, so that tests never sleep. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Calls `callback` once after `delayMs`; the timer never keeps the process alive. Returns the cancellation. */
  after(delayMs: number, callback: () => void): () => void;
  /** A number in [0, 1), for jitter only. */
  random(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
  random: () => Math.random(),
};
