/** What the project is to reach, and whether it did. Pure. */
import { type RowResult, valueOf } from './results.ts';
import type { VariantId } from './variants/variant.ts';

export interface Target {
  readonly title: string;
  readonly limit: string;
  /** How the measured value is shown; undefined when it was not measured. */
  judge(results: readonly RowResult[]): { readonly shown: string; readonly met: boolean } | undefined;
}

export interface Verdict {
  readonly title: string;
  readonly limit: string;
  readonly shown: string;
  readonly met: boolean;
}

/** The targets of all that was measured. */
export const judge = (results: readonly RowResult[], of: readonly Target[] = targets): readonly Verdict[] =>
  of.flatMap((target) => {
    const verdict = target.judge(results);
    return verdict === undefined ? [] : [{ title: target.title, limit: target.limit, ...verdict }];
  });

type Place = readonly [row: string, metric: string, subject?: VariantId];

/** `value` of the mesh's median, or of one of its variants, and another variant's, against a limit. */
export function comparison(
  [row, metric, subject = 'mesh']: Place,
  other: VariantId,
  rule: {
    readonly title: string;
    readonly limit: string;
    readonly shown: (mesh: number, other: number) => string;
    readonly met: (mesh: number, other: number) => boolean;
  },
): Target {
  return {
    title: rule.title,
    limit: rule.limit,
    judge(results) {
      const mine = valueOf(results, row, metric, subject);
      const theirs = valueOf(results, row, metric, other);
      if (mine === undefined || theirs === undefined) return undefined;
      return { shown: rule.shown(mine, theirs), met: rule.met(mine, theirs) };
    },
  };
}

const atMostTimesHaproxy = (row: string, title: string, limit: number): Target =>
  comparison([row, 'cpu'], 'haproxy', {
    title,
    limit: `at most ${limit.toFixed(2)}x HAProxy`,
    shown: (mesh, haproxy) => `${(mesh / haproxy).toFixed(2)}x`,
    met: (mesh, haproxy) => mesh <= limit * haproxy,
  });

const idleLimitKb = 12;
const connectLimitUs = 5;
const bulkLimit = 0.03;

const nodeConnectLimitUs = 10;
const nodeFirstLimitMs = 2;
const nodeLimit = 0.03;
/** A core, as 10 000 connections a second are to use at most: per connection, so that a small machine can tell. */
const acceptLimitUs = 10;

const acceleratedGain = 0.2;

const notSlowerThanNoMesh = (row: string, metric: 'rate' | 'p50', title: string): Target =>
  comparison([row, metric, 'node-kernel'], 'node-none', {
    title: `within a node: ${title}`,
    limit: `within ${100 * nodeLimit} % of no mesh`,
    shown: (kernel, none) => `${((100 * kernel) / none).toFixed(1)} %`,
    met: (kernel, none) =>
      metric === 'rate' ? kernel >= (1 - nodeLimit) * none : kernel <= (1 + nodeLimit) * none,
  });

const kernelPathTargets = (subject: 'node-kernel' | 'node-large', where: string): readonly Target[] => [
  comparison(['node-connect', 'p50', subject], 'node-none', {
    title: `${where}: connect()`,
    limit: `at most +${nodeConnectLimitUs} µs over no mesh`,
    shown: (kernel, none) => `${signed(kernel - none, 1)} µs`,
    met: (kernel, none) => kernel - none <= nodeConnectLimitUs,
  }),
  comparison(['node-first', 'p50', subject], 'node-none', {
    title: `${where}: first connection of a pair`,
    limit: `at most +${nodeFirstLimitMs} ms over no mesh`,
    shown: (kernel, none) => `${signed((kernel - none) / 1000, 2)} ms`,
    met: (kernel, none) => kernel - none <= nodeFirstLimitMs * 1000,
  }),
  comparison(['node-short-8', 'cpu', subject], subject, {
    title: `${where}: node program's CPU, a connection`,
    limit: `at most ${acceptLimitUs} µs (10 000/s: 10 % of a core)`,
    shown: (kernel) => `${kernel.toFixed(1)} µs`,
    met: (kernel) => kernel <= acceptLimitUs,
  }),
];

const targets: readonly Target[] = [
  atMostTimesHaproxy('up-1', 'CPU per GB, up, 1 connection', 1.05),
  atMostTimesHaproxy('up-8', 'CPU per GB, up, 8 connections', 1.05),
  atMostTimesHaproxy('down-1', 'CPU per GB, down, 1 connection', 1.05),
  atMostTimesHaproxy('ping-1', 'CPU per round trip, 1 connection', 1.6),
  atMostTimesHaproxy('ping-32', 'CPU per round trip, 32 connections', 1.6),
  atMostTimesHaproxy('short-1', 'CPU per short connection, 1 at a time', 0.25),
  atMostTimesHaproxy('short-8', 'CPU per short connection, 8 at a time', 0.25),
  comparison(['idle', 'memory'], 'mesh', {
    title: 'memory of an idle tunnel, both ends',
    limit: `at most ${idleLimitKb} KB`,
    shown: (mesh) => `${mesh.toFixed(1)} KB`,
    met: (mesh) => mesh <= idleLimitKb,
  }),
  comparison(['unmeshed-connect', 'p50'], 'none', {
    title: 'connect() to an unmeshed destination',
    limit: `at most +${connectLimitUs} µs over no mesh`,
    shown: (mesh, none) => `${signed(mesh - none, 1)} µs`,
    met: (mesh, none) => mesh - none <= connectLimitUs,
  }),
  comparison(['unmeshed-bulk', 'rate'], 'none', {
    title: 'throughput to an unmeshed destination',
    limit: `at least ${100 * (1 - bulkLimit)} % of no mesh`,
    shown: (mesh, none) => `${((100 * mesh) / none).toFixed(1)} %`,
    met: (mesh, none) => mesh >= (1 - bulkLimit) * none,
  }),
  ...kernelPathTargets('node-kernel', 'within a node'),
  notSlowerThanNoMesh('node-up-1', 'rate', 'throughput, 1 connection'),
  notSlowerThanNoMesh('node-up-8', 'rate', 'throughput, 8 connections'),
  notSlowerThanNoMesh('node-ping-1', 'p50', '64-byte round trip'),
  comparison(['node-ping-1', 'p50', 'node-accelerated'], 'node-none', {
    title: 'accelerated: 64-byte round trip',
    limit: `at most ${100 * (1 - acceleratedGain)} % of no mesh`,
    shown: (accelerated, none) => `${((100 * accelerated) / none).toFixed(1)} %`,
    met: (accelerated, none) => accelerated <= (1 - acceleratedGain) * none,
  }),
  ...kernelPathTargets('node-large', 'the same in a large mesh'),
];

const signed = (value: number, digits: number): string => `${value < 0 ? '' : '+'}${value.toFixed(digits)}`;
