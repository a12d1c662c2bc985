/** Expectations about the addon's one error shape. */
import { expect } from '@jest/globals';
import { isNativeError, type NativeError } from '../../../src/native/errors.ts';

/** What `body` throws or rejects with; fails unless it is a NativeError with every field in place. */
export async function nativeErrorOf(body: () => unknown): Promise<NativeError> {
  let thrown: unknown;
  try {
    await body();
  } catch (error) {
    thrown = error;
  }
  if (!isNativeError(thrown)) throw new Error(`expected a NativeError, got ${String(thrown)}`);
  expect(thrown).toMatchObject({
    name: 'NativeError',
    code: expect.stringMatching(/^E[A-Z0-9_]+$/),
    syscall: expect.any(String),
    message: expect.stringContaining(thrown.syscall),
  });
  expect(Number.isInteger(thrown.errno)).toBe(true);
  expect(thrown.hint === null || typeof thrown.hint === 'string').toBe(true);
  return thrown;
}

export async function expectNativeError(body: () => unknown, code: string): Promise<NativeError> {
  const error = await nativeErrorOf(body);
  expect({ code: error.code, message: error.message }).toMatchObject({ code });
  return error;
}
