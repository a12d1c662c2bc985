/** Pods that take every connection they get on the kernel path: the more there are, the fewer each gets, and nobody is shut out. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { meshOf, pod as workload } from '../support/mesh-builder.ts';
import { eventually } from '../netns/support/wait.ts';
import { allow, data, forgetAccepted, kernelPath } from './support/kernel-path.ts';
import type { LabPod } from './support/lab.ts';
import { type Mesh, startMesh, stopMesh } from './support/mesh.ts';
import * as scripts from './support/scripts.ts';

let mesh: Mesh;
/** They dial `b`. */
let greedy: readonly LabPod[];
let fifth: LabPod;
/** One pod may have 16, and 2 whatever others have: of 64, 48 are for all who come. */
const sizes = { pods: 8, destinations: 16, flows: 64, egress: 64, verdicts: 1024 };

beforeAll(async () => {
  mesh = await startMesh({ sizes, kernelPath });
  const { lab, datapath, a, b } = mesh;
  const [c, d, e, g] = [lab.addPod('c'), lab.addPod('d'), lab.addPod('e'), lab.addPod('g')];
  for (const pod of [c, d, e, g]) {
    lab.plaintextListener(pod, await lab.listen(pod.netns, 15006));
    await lab.enrol(datapath, pod);
  }
  const workloads = [a, b, c, d, e, g].map(({ name, ip4, ip6 }) => workload(`test/${name}`, { ips: [ip4, ip6] }));
  datapath.apply(meshOf({ workloads }).view);
  await lab.listen(b.netns, 8081);
  greedy = [a, c, d, e];
  fifth = g;
  for (const pod of [...greedy, fifth]) {
    await allow(mesh, pod, b, b.ip4, 8080);
    await allow(mesh, pod, b, b.ip4, 8081);
  }
});
afterAll(() => stopMesh(mesh));
beforeEach(() => eventually('no connection to be left', () => used() === 0 || undefined));

function used(): number {
  forgetAccepted(mesh);
  return mesh.datapath.occupancy().find(({ map }) => map.name === 'flows')?.entries ?? 0;
}

const dial = (from: LabPod | Mesh['lab']['host']): Promise<unknown> =>
  mesh.lab.run(from, scripts.connect, [mesh.b.ip4, 8080]);

/** Takes all it gets, until `release`, which tells how many that were. */
async function takeAll(pod: LabPod): Promise<() => Promise<unknown>> {
  const release = await mesh.lab.hold(pod, scripts.holdUntilRefused, [mesh.b.ip4, 8081]);
  return async () => JSON.parse(await release());
}

const application = data('application b');

describe('pods that take all they get', () => {
  it('get less, each, and leave a further one its connections', async () => {
    const before = mesh.datapath.counters();
    const releases: (() => Promise<unknown>)[] = [];
    for (const pod of greedy) releases.push(await takeAll(pod));
    expect(await dial(fifth)).toEqual(application);
    expect(await dial(mesh.lab.host)).toEqual(application);
    const last = await takeAll(fifth);
    // The node's own, and what is captured, find room as well.
    expect(await dial(mesh.lab.host)).toEqual(application);
    expect(await dial(greedy[0] ?? fifth)).toEqual({ error: 'EPERM' });
    const { flowsFull, droppedUnrecorded, refusedShare } = mesh.datapath.counters();
    expect([flowsFull, droppedUnrecorded]).toEqual([before.flowsFull, before.droppedUnrecorded]);
    expect(refusedShare - before.refusedShare).toBe(6n);
    const counts = await Promise.all([...releases, last].map((release) => release()));
    expect(counts).toEqual([16, 11, 7, 5, 3].map((count) => [count, 'EPERM']));
  });

  it('are told to have what they may have now', async () => {
    const [first, second] = [await takeAll(mesh.a), await takeAll(fifth)];
    const shares = mesh.datapath.kernelPath.shares();
    expect(shares.find(({ pod }) => pod.uid === fifth.uid)).toMatchObject({ used: 11, share: 11 });
    expect(shares.find(({ pod }) => pod.uid === mesh.a.uid)).toMatchObject({ used: 16, share: 11 });
    await first();
    await second();
  });

  it('get all of their share again when the others have ended theirs', async () => {
    const [first, second] = [await takeAll(mesh.a), await takeAll(fifth)];
    expect(await first()).toEqual([16, 'EPERM']);
    await eventually('the records of the first to be gone', () => used() === 11 || undefined);
    const more = await mesh.lab.hold(fifth, scripts.holdUntilRefused, [mesh.b.ip4, 8081]);
    expect([await second(), JSON.parse(await more())]).toEqual([
      [11, 'EPERM'],
      [5, 'EPERM'],
    ]);
  });
});

it.each([
  ['takes room as well', 40, 3],
  ['leaves each pod the least it has', 52, 2],
])('what the node opens %s', async (_, hosts, expected) => {
  const release = await mesh.lab.hold(mesh.lab.host, scripts.holdConnections, [mesh.b.ip4, 8081, hosts]);
  const all = await takeAll(mesh.a);
  expect(await all()).toEqual([expected, 'EPERM']);
  await release();
});
