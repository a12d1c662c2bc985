import { describe, expect, it } from '@jest/globals';
import type { Row, RowContext, Sample } from '../../bench/rows/row.ts';
import { stepsOf, takeSteps } from '../../bench/rounds.ts';
import type { Variant, VariantId } from '../../bench/variants/variant.ts';

const variant = (id: VariantId): Variant => ({
  id,
  client: { namespace: 'bench', name: `${id}-client`, ip: '10.0.0.1', command: (argv) => argv },
  host: '10.0.0.2',
  proxies: () => [],
  [Symbol.asyncDispose]: () => Promise.resolve(),
});

const row = (id: string, more: Partial<Row> = {}): Row => ({
  id,
  title: id,
  metrics: [],
  measure: () => Promise.resolve({}),
  ...more,
});

const variants = [variant('none'), variant('mesh'), variant('haproxy')];

/** Without the warm-up. */
const order = (rows: readonly Row[], rounds: number): readonly string[] =>
  stepsOf({ rows, variants, rounds })
    .filter(({ round }) => round !== undefined)
    .map((step) => `${step.row.id}:${step.variant.id}`);

const context = (signal: AbortSignal): RowContext =>
  ({ seconds: 4, unmeshedHost: '10.0.0.3', signal }) as RowContext;

describe('the order of measurements', () => {
  it('lets the variants take turns within a row, and another one begin each round', () => {
    expect(order([row('a')], 2)).toEqual(['a:none', 'a:mesh', 'a:haproxy', 'a:mesh', 'a:haproxy', 'a:none']);
  });

  it('measures what load would disturb once, before everything else', () => {
    expect(order([row('load'), row('idle', { once: true, variants: ['mesh'] })], 2)[0]).toBe('idle:mesh');
    expect(order([row('idle', { once: true, variants: ['mesh'] })], 5)).toHaveLength(1);
  });

  it('warms up every proxy on every row before the first round', () => {
    const steps = stepsOf({ rows: [row('a')], variants, rounds: 1 });
    expect(steps.map(({ round, variant: { id } }) => [round, id])).toEqual([
      [undefined, 'mesh'],
      [undefined, 'haproxy'],
      [0, 'none'],
      [0, 'mesh'],
      [0, 'haproxy'],
    ]);
  });

  it('cuts a row into shorter turns where small differences count', () => {
    const steps = order([row('connect', { turns: 2, variants: ['none', 'mesh'] })], 1);
    expect(steps).toEqual(['connect:none', 'connect:mesh', 'connect:mesh', 'connect:none']);
  });
});

describe('rows of pods that share a node', () => {
  it('are measured of their own variants, and no other row is', () => {
    const steps = stepsOf({
      rows: [row('up'), row('node-up', { variants: ['node-none', 'node-kernel'] })],
      variants: [variant('mesh'), variant('node-none'), variant('node-kernel')],
      rounds: 1,
    }).map(({ round, row: { id }, variant: of }) => `${round === undefined ? 'warm ' : ''}${id}:${of.id}`);
    expect(steps).toEqual([
      'warm up:mesh',
      'warm node-up:node-kernel',
      'up:mesh',
      'node-up:node-none',
      'node-up:node-kernel',
    ]);
  });
});

describe('taking the steps', () => {
  const quiet = { progress: () => {}, describe: () => '' };

  it('goes on after a measurement that fails, and says which one it was', async () => {
    const failing = row('bulk', { title: 'bulk up', measure: () => Promise.reject(new Error('no route')) });
    const steps = stepsOf({ rows: [failing, row('ping')], variants: [variant('none')], rounds: 1 });
    const { measurements, problems } = await takeSteps(steps, context(new AbortController().signal), quiet);
    expect(measurements.map((measurement) => measurement.row.id)).toEqual(['ping']);
    expect(problems).toEqual(['bulk up: none: no route']);
  });

  it('ends at once when it is interrupted', async () => {
    const stop = new AbortController();
    const interrupted = (): Promise<Sample> => {
      stop.abort(new Error('interrupted'));
      return Promise.reject(new Error('killed'));
    };
    const steps = stepsOf({ rows: [row('bulk', { measure: interrupted })], variants, rounds: 1 });
    await expect(takeSteps(steps, context(stop.signal), quiet)).rejects.toThrow('interrupted');
  });

  it('does not count a warm-up', async () => {
    const steps = stepsOf({ rows: [row('a')], variants: [variant('mesh')], rounds: 2 });
    const { measurements } = await takeSteps(steps, context(new AbortController().signal), quiet);
    expect([steps.length, measurements.length]).toEqual([3, 2]);
  });

  it('shares the time of a measurement among its turns', async () => {
    const seconds: number[] = [];
    const measure: Row['measure'] = (_, given) => {
      seconds.push(given.seconds);
      return Promise.resolve({});
    };
    const steps = stepsOf({
      rows: [row('x', { turns: 4, measure })],
      variants: [variant('mesh')],
      rounds: 1,
    });
    await takeSteps(steps, context(new AbortController().signal), quiet);
    expect(seconds).toEqual([1, 1, 1, 1]);
  });
});
