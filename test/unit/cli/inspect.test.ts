import { describe, expect, it } from '@jest/globals';
import { LineReader } from '../../../src/cli/inspect/lines.ts';
import { machine } from './fake-cluster.ts';
import { run, type World } from './harness.ts';

async function* chunks(...texts: readonly string[]): AsyncGenerator<string> {
  for (const text of texts) yield await Promise.resolve(text);
}

/** The answers to what comes in, without the greeting. */
async function inspect(world: World, ...texts: readonly string[]): Promise<readonly unknown[]> {
  const { code, out, err } = await run('inspect', { ...world, input: chunks(...texts) });
  expect({ code, err }).toEqual({ code: 0, err: '' });
  const [hello, ...answers] = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
  expect(hello).toEqual({ apiVersion: 'mesh-ebpf.io/v1alpha1', kind: 'InspectSession', version: '0.1.0' });
  return answers;
}

const node = machine('node-a');

describe('mesh-ebpf inspect', () => {
  it('is not shown to people', async () => {
    expect((await run('--help')).out).not.toMatch(/inspect/);
  });

  it('answers each question in its turn, however they arrive', async () => {
    const answers = await inspect(
      node,
      '{"ask":"programs","timeoutMs":1000}\n{"ask":"ma',
      'ps","timeoutMs":1000}\n',
    );
    expect(answers).toMatchObject([
      { answer: [{ program: 'mesh_connect4', runs: '1152921504606846976' }, {}] },
      { answer: [{ name: 'pods', entries: 42 }, { name: 'config' }] },
    ]);
  });

  it('passes questions on to the node program, and its answers back', async () => {
    const [answer] = await inspect(
      node,
      '{"ask":"admin","method":"GET","target":"/v1/status","timeoutMs":1000}\n',
    );
    expect(answer).toMatchObject({ answer: { status: 200, document: { kind: 'Status', node: 'node-a' } } });
  });

  it.each([
    ['no JSON', 'what?', 'INVALID_ARGUMENT'],
    ['an unknown question', '{"ask":"everything"}', 'INVALID_ARGUMENT'],
    ['no time', '{"ask":"maps"}', 'INVALID_ARGUMENT'],
    [
      'a node program that is down',
      '{"ask":"admin","method":"GET","target":"/v1/x","timeoutMs":9}',
      'UNAVAILABLE',
    ],
  ])('answers %s with an error, and goes on', async (_what, question, code) => {
    const answers = await inspect(node, `${question}\n{"ask":"checks","timeoutMs":1000}\n`);
    expect(answers).toMatchObject([
      { error: { code } },
      { answer: [{ name: 'privileges' }, {}, {}, {}, {}, {}, {}, {}, {}, {}] },
    ]);
  });

  it('ends when nobody asks for a minute: whoever did is gone', async () => {
    const never: AsyncIterable<string> = {
      [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }),
    };
    let waited = 0;
    const clock = {
      now: () => 0,
      random: () => 0,
      after: (delayMs: number, callback: () => void) => {
        waited = delayMs;
        queueMicrotask(callback);
        return () => {};
      },
    };
    const { code } = await run('inspect', { ...node, input: never, env: { ...node.env, clock } });
    expect({ code, waited }).toEqual({ code: 0, waited: 60_000 });
  });
});

const read = (limit: number, ...texts: readonly string[]) => {
  const lines: string[] = [];
  const reader = new LineReader(limit, (line) => lines.push(line));
  const fits = texts.map((text) => reader.push(Buffer.from(text)));
  return { lines, fits };
};

describe('lines out of chunks', () => {
  it('puts a line together, whatever it was cut into', () => {
    expect(read(10, 'a', '', 'b\nc', 'd\n\n', 'e')).toEqual({
      lines: ['ab', 'cd', ''],
      fits: [true, true, true, true, true],
    });
  });

  it('keeps characters whole that were cut in the middle', () => {
    const [first, second] = [Buffer.from('é\n').subarray(0, 1), Buffer.from('é\n').subarray(1)];
    const lines: string[] = [];
    const reader = new LineReader(10, (line) => lines.push(line));
    reader.push(first);
    reader.push(second);
    expect(lines).toEqual(['é']);
  });

  it('says when a line is too long, ended or not', () => {
    expect(read(4, '1234\n', '123', '45').fits).toEqual([true, true, false]);
    expect(read(4, '12345\n')).toEqual({ lines: [], fits: [false] });
  });
});
