/** Lets a bounded number of actions run at once; the others wait their turn. */
export function slots(count: number): <T>(action: () => Promise<T>) => Promise<T> {
  let free = count;
  const waiting: (() => void)[] = [];
  const acquire = async (): Promise<void> => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
  };
  // A freed slot goes straight to who waits longest.
  const release = (): void => {
    const next = waiting.shift();
    if (next === undefined) free++;
    else next();
  };
  return async (action) => {
    await acquire();
    try {
      return await action();
    } finally {
      release();
    }
  };
}
