/** The measurements, each of one running node program. Times are seen from outside: the kernel's maps, the admin API. */
import { stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { IpAddress } from '../../src/base/ip.ts';
import { median, quantile } from '../bench/stats.ts';
import type { KernelMaps } from '../cluster/support/kernel-maps.ts';
import type { BareCluster } from './cluster.ts';
import type { Values } from './figures.ts';
import type { NodeProgram } from './node-program.ts';
import { changingPod, create, type Placed, remove, run, runningPods, toggled } from './objects.ts';

export interface Subject {
  readonly cluster: BareCluster;
  readonly program: NodeProgram;
  readonly maps: KernelMaps;
  readonly signal: AbortSignal;
}

const patienceMs = 30_000;
const lookEveryMs = 1;

/** Milliseconds from now until it is so. @throws Error when it is not in 30 s */
async function until(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  signal: AbortSignal,
): Promise<number> {
  const from = performance.now();
  while (!(await isSo())) {
    signal.throwIfAborted();
    if (performance.now() - from > patienceMs)
      throw new Error(`not so after ${patienceMs / 1000} s: ${what}`);
    await delay(lookEveryMs);
  }
  return performance.now() - from;
}

interface Seen {
  /** Milliseconds since the request was sent. */
  readonly written: number;
  readonly inMap: number;
  readonly inBoth: number;
}

/**
 * Each change is a pod of another node that begins to run, or is gone; the clock runs from the moment the request is
 * sent, so the API server's own time is in it. The map is looked at every millisecond; then ztunnel's view is asked.
 */
export async function measureChanges(subject: Subject, count: number, from: number): Promise<Values> {
  const { program, cluster } = subject;
  const pods = Array.from({ length: Math.ceil(count / 2) }, (_, i) => changingPod(from + i));
  const uids: string[] = [];
  for (const pod of pods) uids.push(uidOf(await cluster.api().call(create(pod))));
  const before = await program.usage();
  const seen: Seen[] = [];
  for (const [i, pod] of pods.entries()) seen.push(await appears(subject, pod, uids[i] ?? ''));
  for (const [i, pod] of pods.entries()) seen.push(await disappears(subject, pod, uids[i] ?? ''));
  const after = await program.usage();
  return {
    ...quantiles(
      'map',
      seen.map(({ inMap }) => inMap),
    ),
    ...quantiles(
      'seen',
      seen.map(({ inBoth }) => inBoth),
    ),
    ...maybe(
      'writeP50',
      quantile(
        seen.map(({ written }) => written),
        0.5,
      ),
    ),
    changeCpu: ((after.cpuSeconds - before.cpuSeconds) * 1000) / seen.length,
  };
}

const uidOf = (answer: unknown): string => (answer as { metadata: { uid: string } }).metadata.uid;

const appears = (subject: Subject, pod: Placed, uid: string): Promise<Seen> =>
  follow(subject, { call: run(pod), pod, uid, isThere: true });

const disappears = (subject: Subject, pod: Placed, uid: string): Promise<Seen> =>
  follow(subject, { call: remove(pod), pod, uid, isThere: false });

interface Change {
  readonly call: ReturnType<typeof run>;
  readonly pod: Placed;
  readonly uid: string;
  readonly isThere: boolean;
}

async function follow({ cluster, program, maps, signal }: Subject, change: Change): Promise<Seen> {
  const { call, pod, uid, isThere } = change;
  const from = performance.now();
  const written = cluster
    .api()
    .call(call)
    .then(() => performance.now() - from);
  const ip = pod.ip as IpAddress;
  const inMap = await until(`${pod.name} in the map: ${isThere}`, () => maps.knows(ip) === isThere, signal);
  const known = async (): Promise<boolean> => (await isKnown(program, uid)) === isThere;
  await until(`${pod.name} in ztunnel: ${isThere}`, known, signal);
  return { written: await written, inMap, inBoth: performance.now() - from };
}

/** Whether the view by which ztunnel decides has the pod; the answer for one that it has not says so. */
async function isKnown(program: NodeProgram, uid: string): Promise<boolean> {
  const answer = (await program.ask(`/v1/enrolment/${uid}`)) as { readonly reason?: string };
  return answer.reason !== 'this node does not know the pod (yet)';
}

/** Medians of the rounds. The last label stays: what follows is measured with enrolled pods. */
export async function measureLabels({ cluster, maps, signal }: Subject, rounds: number): Promise<Values> {
  const enrolled: number[] = [];
  const left: number[] = [];
  const label = async (mode: string | null, count: number): Promise<number> => {
    const written = cluster.api().call(toggled(mode));
    const ms = await until(`${count} pods are enrolled`, () => maps.enrolledPods() === count, signal);
    await written;
    // Proofs and reports of the last step are not to be measured in the next.
    await delay(2_500, undefined, { signal });
    return ms;
  };
  await label(null, 0);
  for (let i = 0; i < rounds; i++) {
    enrolled.push(await label('ambient', runningPods));
    if (i < rounds - 1) left.push(await label(null, 0));
  }
  return { ...maybe('enrolled', median(enrolled)), ...maybe('left', median(left)) };
}

export async function measureRest({ program, signal }: Subject, seconds: number): Promise<Values> {
  const before = await program.usage();
  const from = performance.now();
  await delay(seconds * 1000, undefined, { signal });
  const { cpuSeconds, residentBytes, peakBytes } = await program.usage();
  const elapsed = (performance.now() - from) / 1000;
  return {
    idleCpu: (100 * (cpuSeconds - before.cpuSeconds)) / elapsed,
    resident: residentBytes / 2 ** 20,
    peak: peakBytes / 2 ** 20,
  };
}

export async function measureSnapshot({ running, node }: BareCluster): Promise<Values> {
  const { layout } = running.machine;
  const { size } = await stat(layout.node(node).disk('/var/lib/mesh-ebpf', 'node', 'objects.snapshot'));
  return { snapshotSize: size / 1e6 };
}

const quantiles = (name: 'map' | 'seen', values: readonly number[]): Values => ({
  ...maybe(`${name}P50`, quantile(values, 0.5)),
  ...maybe(`${name}P99`, quantile(values, 0.99)),
});

const maybe = (name: keyof Values, value: number | undefined): Values =>
  value === undefined ? {} : { [name]: value };
