import { describe, expect, it } from '@jest/globals';
import { WriteBuffers } from '../../../../src/net/tunnel/write-buffers.ts';

const chunk = (text: string): Uint8Array => Buffer.from(text);

describe('buffers for writing', () => {
  it('gather chunks in their order', () => {
    const { bytes } = new WriteBuffers(16).gather([chunk('ab'), chunk('c'), chunk('def')]);
    expect(String(bytes)).toBe('abcdef');
  });

  it('pass a single chunk on as it is', () => {
    const only = chunk('only');
    expect(new WriteBuffers(16).gather([only]).bytes).toBe(only);
  });

  it('are not used again before they are released', () => {
    const buffers = new WriteBuffers(16);
    const first = buffers.gather([chunk('a'), chunk('b')]);
    const second = buffers.gather([chunk('c'), chunk('d')]);
    expect([String(first.bytes), String(second.bytes)]).toEqual(['ab', 'cd']);
  });

  it('are used again after', () => {
    const buffers = new WriteBuffers(16);
    const first = buffers.gather([chunk('a'), chunk('b')]);
    first.release();
    const second = buffers.gather([chunk('c'), chunk('d')]);
    expect(second.bytes.buffer).toBe(first.bytes.buffer);
  });

  it('take what is larger than a buffer, too', () => {
    const { bytes } = new WriteBuffers(4).gather([chunk('abc'), chunk('def')]);
    expect(String(bytes)).toBe('abcdef');
  });
});
