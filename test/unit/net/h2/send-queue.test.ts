import { describe, expect, it } from '@jest/globals';
import { array, assert, nat, property } from 'fast-check';
import { SendQueue } from '../../../../src/net/h2/send-queue.ts';

describe('a send queue', () => {
  it('hands out whole chunks by reference', () => {
    const queue = new SendQueue();
    const chunk = Buffer.from('abc');
    queue.push(chunk);
    const out: Uint8Array[] = [];
    queue.take(3, out);
    expect(out[0]).toBe(chunk);
    expect(queue.bytes).toBe(0);
  });

  it('keeps the order and loses nothing, however it is filled and emptied', () => {
    assert(
      property(array(nat(300), { maxLength: 300 }), array(nat(900)), (sizes, takes) => {
        const queue = new SendQueue();
        const pushed = sizes.map((size, i) => Buffer.alloc(size, i));
        const out: Uint8Array[] = [];
        pushed.forEach((chunk, i) => {
          queue.push(chunk);
          queue.take(Math.min(takes[i] ?? 0, queue.bytes), out);
        });
        queue.take(queue.bytes, out);
        expect(Buffer.concat(out)).toEqual(Buffer.concat(pushed));
        expect(queue.weight).toBe(0);
      }),
    );
  });

  it('keeps what it has when the owner of the last chunk uses its memory again', () => {
    const queue = new SendQueue();
    const pool = { copy: (chunk: Uint8Array) => Buffer.from(chunk), release() {} };
    const [first, last] = [Buffer.from('first '), Buffer.from('last')];
    queue.push(first);
    queue.push(last);
    const out: Uint8Array[] = [];
    queue.take(7, out);
    queue.own(pool);
    last.fill('x');
    queue.take(3, out);
    expect(String(Buffer.concat(out.slice(2)))).toBe('ast');
    queue.own(pool);
    expect(queue.bytes).toBe(0);
  });

  it('releases every copy once, whether it was sent or dropped', () => {
    const out: Uint8Array[] = [];
    const live = new Set<ArrayBufferLike>();
    const pool = {
      copy(chunk: Uint8Array): Uint8Array {
        const copy = Buffer.allocUnsafeSlow(chunk.length);
        copy.set(chunk);
        live.add(copy.buffer);
        return copy;
      },
      release: (chunk: Uint8Array) => live.delete(chunk.buffer),
    };
    const queue = new SendQueue();
    for (const text of ['sent', 'dropped', 'too']) {
      queue.push(Buffer.from(text));
      queue.own(pool);
    }
    queue.take(2, out);
    expect(live.size).toBe(3);
    queue.take(3, out);
    expect(live.size).toBe(2);
    queue.clear();
    expect(live.size).toBe(0);
  });

  it('weighs many small chunks as the memory they take', () => {
    const queue = new SendQueue();
    for (let i = 0; i < 100; i++) queue.push(Buffer.of(i));
    expect(queue.bytes).toBe(100);
    expect(queue.weight).toBeGreaterThan(10_000);
  });

  it('refuses to give more than it has', () => {
    expect(() => new SendQueue().take(1, [])).toThrow(RangeError);
  });
});
