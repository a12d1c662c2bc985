import { describe, expect, it } from '@jest/globals';
import { WriteBatch } from '../../../../src/net/tunnel/write-batch.ts';
import { WriteBuffers } from '../../../../src/net/tunnel/write-buffers.ts';

const sizeBytes = 80 << 10;
const filled = (length: number, byte: number): Buffer => Buffer.alloc(length, byte);

describe('what a connection writes at once', () => {
  it('leaves in the order in which it was added', () => {
    const batch = new WriteBatch(new WriteBuffers(sizeBytes));
    for (const text of ['ab', 'c', 'def']) batch.add(Buffer.from(text));
    expect(String(batch.take().bytes)).toBe('abcdef');
  });

  it('is a copy: the bytes may be overwritten as soon as they are added', () => {
    const batch = new WriteBatch(new WriteBuffers(sizeBytes));
    const [few, many] = [filled(10, 1), filled(10_000, 2)];
    batch.add(few);
    batch.add(many);
    few.fill(9);
    many.fill(9);
    expect(Buffer.from(batch.take().bytes)).toEqual(Buffer.concat([filled(10, 1), filled(10_000, 2)]));
  });

  it('takes a shared buffer only for many bytes', () => {
    const buffers = new WriteBuffers(sizeBytes);
    const [few, many] = [new WriteBatch(buffers), new WriteBatch(buffers)];
    few.add(filled(100, 1));
    expect(few.take().bytes.buffer.byteLength).not.toBe(sizeBytes);
    many.add(filled(5000, 1));
    expect(many.take().bytes.buffer.byteLength).toBe(sizeBytes);
  });

  it('is never more than a buffer holds', () => {
    const batch = new WriteBatch(new WriteBuffers(sizeBytes));
    expect(batch.add(filled(sizeBytes - 10, 1))).toBe(sizeBytes - 10);
    expect(batch.add(filled(100, 2))).toBe(10);
    expect(batch.length).toBe(sizeBytes);
  });

  it('gives its buffer to others only when it is written', () => {
    const buffers = new WriteBuffers(sizeBytes);
    const [one, other, next] = [new WriteBatch(buffers), new WriteBatch(buffers), new WriteBatch(buffers)];
    one.add(filled(5000, 1));
    const { bytes, release } = one.take();
    other.add(filled(5000, 2));
    expect(bytes[0]).toBe(1);
    const taken = other.take();
    release();
    next.add(filled(5000, 3));
    expect(next.take().bytes.buffer).toBe(bytes.buffer);
    expect(taken.bytes[0]).toBe(2);
  });
});
