/**
 * What test files import of `@jest/globals`, on Node's own test runner: jest itself takes minutes to start in an emulated
 * kernel. Same matchers (`expect` is jest's); only what those files use. `bundle.ts` puts it in jest's place.
 */
import {
  after,
  afterEach as nodeAfterEach,
  before,
  beforeEach as nodeBeforeEach,
  describe as nodeDescribe,
  it as nodeIt,
} from 'node:test';

import { patience } from '../../netns/support/wait.ts';

export { expect } from 'expect';

type Body = () => unknown;

/** As in jest.config.mjs. */
const defaultTimeoutMs = 60_000;

const options = (timeoutMs = defaultTimeoutMs * patience): { timeout: number } => ({ timeout: timeoutMs });

const timed =
  (hook: (body: () => Promise<void>, options: { timeout: number }) => void) =>
  (body: Body, timeoutMs?: number): void =>
    hook(async () => void (await body()), options(timeoutMs));

export const beforeAll = timed(before);
export const afterAll = timed(after);
export const beforeEach = timed(nodeBeforeEach);
export const afterEach = timed(nodeAfterEach);

const testCase = (name: string, body: Body, timeoutMs?: number): void =>
  void nodeIt(name, options(timeoutMs), async () => void (await body()));

const suite = (name: string, body: () => void): void => void nodeDescribe(name, body);

/** `each` of a list of single values, of lists, or of objects named by `$member`. */
const eachOf =
  (define: (name: string, body: Body, timeoutMs?: number) => void) =>
  (rows: readonly unknown[]) =>
  (name: string, body: (...row: unknown[]) => unknown, timeoutMs?: number): void => {
    for (const row of rows) {
      const values: readonly unknown[] = Array.isArray(row) ? row : [row];
      define(titleOf(name, values), () => body(...values), timeoutMs);
    }
  };

function titleOf(name: string, values: readonly unknown[]): string {
  const [first] = values;
  if (typeof first !== 'object' || first === null) return fill(name, values);
  return name.replaceAll(/\$(\w+)/g, (_, key: string) => String((first as Record<string, unknown>)[key]));
}

function fill(name: string, values: readonly unknown[]): string {
  let next = 0;
  return name.replaceAll(/%[sdi]/g, () => String(values[next++]));
}

/** Jest's kind: the test is counted as skipped, and not run. */
const skip = (name: string, _body?: Body): void => void nodeIt(name, { skip: true });

/** Of a suite: counted as one test that was. */
const skipEach = Object.assign(skip, { each: eachOf(skip) });

export const it = Object.assign(testCase, { each: eachOf(testCase), skip });
export const describe = Object.assign(suite, { each: eachOf(suite), skip: skipEach });
