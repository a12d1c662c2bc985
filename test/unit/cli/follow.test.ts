import { describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../src/base/errors.ts';
import type { AdminRequest, CliEnv } from '../../../src/cli/env.ts';
import { connection } from './documents.ts';
import { document, labNode, now, run, type Run } from './harness.ts';

type Answer = object | MeshError;

/** Follows one node through these answers, one a poll, and then interrupts as Ctrl-C would. */
async function follow(
  line: string,
  answers: readonly Answer[],
): Promise<Run & { readonly after: (string | null)[] }> {
  const interrupt = new AbortController();
  const after: (string | null)[] = [];
  let next = 0;
  const answer = ({ target }: AdminRequest): Answer => {
    const query = new URL(target, 'http://x').searchParams;
    if (query.get('only') === 'live') return news(0, []);
    after.push(query.get('after'));
    const planned = answers[next] ?? new MeshError('UNAVAILABLE', 'gone');
    next += 1;
    return planned;
  };
  const clock: CliEnv['clock'] = {
    now: () => now,
    random: () => 0,
    after: (_delay, callback) => {
      if (next >= answers.length) interrupt.abort();
      else queueMicrotask(callback);
      return () => {};
    },
  };
  const ran = await run(line, {
    nodes: [labNode('node-a', { '/v1/connections': answer })],
    env: { clock, interrupted: interrupt.signal },
  });
  return { ...ran, after };
}

const news = (last: number, ids: readonly string[], lost = 0): object => ({
  node: 'node-a',
  ...document('ConnectionList', { live: [], recent: ids.map((id) => connection(id)), last, lost }),
});

describe('mesh-ebpf connections --follow', () => {
  it('prints the header once and each connection once, and ends with 0 on Ctrl-C', async () => {
    const { code, out, err, after } = await follow('connections -f', [
      news(2, ['c-1', 'c-2']),
      news(2, []),
      news(3, ['c-3']),
    ]);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out.trim().split('\n')).toHaveLength(4);
    expect(after).toEqual([null, '2', '2']);
  });

  it('prints one json object a line, without colour or table', async () => {
    const { out } = await follow('connections -f -o json', [news(1, ['c-1']), news(2, ['c-2'])]);
    const lines = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { id: string; node: string });
    expect(lines.map(({ id, node }) => [id, node])).toEqual([
      ['c-1', 'node-a'],
      ['c-2', 'node-a'],
    ]);
  });

  it('says how many records were missed', async () => {
    const { err } = await follow('connections -f', [news(1, ['c-1']), news(5000, ['c-9'], 4000)]);
    expect(err).toMatch(/node-a: 4000 records missed/);
  });

  it('notices that a node was restarted, and goes on from its beginning', async () => {
    const { err, after } = await follow('connections -f', [
      news(100, ['c-1']),
      news(2, []),
      news(2, ['c-2']),
    ]);
    expect(err).toMatch(/was restarted/);
    expect(after).toEqual([null, '100', '0']);
  });

  it('exits 3 when no node answers any more', async () => {
    const { code, err } = await follow('connections -f', [
      news(1, ['c-1']),
      new MeshError('UNAVAILABLE', 'it died'),
      news(1, []),
    ]);
    expect(code).toBe(3);
    expect(err).toMatch(/not reached: node node-a: it died/);
  });
});
