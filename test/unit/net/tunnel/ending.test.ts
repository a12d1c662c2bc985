import { describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../../src/base/errors.ts';
import { Ending, throwIfEnded, toSignal } from '../../../../src/net/tunnel/ending.ts';

const removed = new MeshError('POD_REMOVED', 'the pod left the mesh');
const late = new MeshError('TIMEOUT', 'too late');

describe('work that is no longer wanted', () => {
  it('is told so once, with the first reason', () => {
    const ending = new Ending();
    const heard: MeshError[] = [];
    ending.listen((reason) => heard.push(reason));
    ending.end(removed);
    ending.end(late);
    expect(heard).toEqual([removed]);
    expect(ending.endedBy).toBe(removed);
    expect(() => throwIfEnded(ending)).toThrow(removed);
  });

  it('hears nothing when it was done before, also if another that ends at the same time says so', () => {
    const ending = new Ending();
    const heard: string[] = [];
    const second = (): void => void heard.push('second');
    ending.listen(() => {
      heard.push('first');
      ending.forget(second);
    });
    ending.listen(second);
    ending.end(removed);
    expect(heard).toEqual(['first']);
  });

  it('is never told by what has ended already', () => {
    const ending = new Ending();
    ending.end(removed);
    ending.listen(() => {
      throw new Error('told');
    });
    ending.end(late);
  });
});

describe('a signal for those that know nothing else', () => {
  it('fires with the reason, at once if there is one already', () => {
    const ending = new Ending();
    const { signal } = toSignal(ending);
    expect(signal.aborted).toBe(false);
    ending.end(removed);
    expect(signal.reason).toBe(removed);
    expect(toSignal(ending).signal.reason).toBe(removed);
  });

  it('does not fire any more when the work is done', () => {
    const ending = new Ending();
    const { signal, done } = toSignal(ending);
    done();
    ending.end(removed);
    expect(signal.aborted).toBe(false);
  });
});
