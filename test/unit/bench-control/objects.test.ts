import { describe, expect, it } from '@jest/globals';
import {
  changingPod,
  fakePod,
  manifestOfRunningPods,
  measuredNode,
  morePods,
  runningPod,
  runningPods,
  serviceCount,
  slices,
} from '../../bench-control/objects.ts';
import { parseManifests } from '../../../src/kube/parse-manifests.ts';

const range = (count: number): readonly number[] => Array.from({ length: count }, (_, i) => i);

interface Slice {
  readonly endpoints: readonly {
    readonly addresses: readonly [string];
    readonly targetRef: { name: string };
  }[];
}

describe('the pods of the bench', () => {
  it('have each an address and a name of their own', () => {
    const all = [
      ...range(10_000).map(fakePod),
      ...range(1_000).map(changingPod),
      ...range(runningPods).map(runningPod),
    ];
    expect(new Set(all.map(({ ip }) => ip)).size).toBe(all.length);
    expect(new Set(all.map(({ namespace, name }) => `${namespace}/${name}`)).size).toBe(all.length);
  });

  it('run on the measured node only if they are real', () => {
    expect(range(10_000).filter((i) => fakePod(i).node === measuredNode)).toEqual([]);
    expect(runningPod(0).node).toBe(measuredNode);
  });

  it('are stored under their own name, each with a UID of its own, running', () => {
    const stored = morePods(5, 8);
    expect(stored[0]?.key).toBe(`pods/${fakePod(5).namespace}/${fakePod(5).name}`);
    const bodies = stored.map(({ object }) => object as { metadata: { uid: string }; status: object });
    expect(new Set(bodies.map(({ metadata }) => metadata.uid)).size).toBe(3);
    expect(bodies[0]?.status).toMatchObject({ phase: 'Running', podIP: fakePod(5).ip });
  });

  it('are as large as real ones, 3 to 5 KB', () => {
    const size = JSON.stringify(morePods(1, 2)[0]?.object).length;
    expect(size).toBeGreaterThan(3_000);
    expect(size).toBeLessThan(5_000);
  });
});

describe('the slices', () => {
  it.each([1_000, 1_500, 10_000])('of %i pods hold each pod exactly once', (pods) => {
    const all = slices(pods);
    expect(all).toHaveLength(serviceCount);
    const addresses = all.flatMap(({ object }) =>
      (object as Slice).endpoints.map(({ addresses: [ip] }) => ip),
    );
    expect(addresses.toSorted()).toEqual(
      range(pods)
        .map((i) => fakePod(i).ip)
        .toSorted(),
    );
  });
});

it('the authority is told of the running pods in a manifest that the mesh can read', () => {
  const file = { path: 'pods.yaml', text: manifestOfRunningPods() };
  const { objects, errors } = parseManifests([file], { strict: true });
  expect(errors).toEqual([]);
  expect(objects).toHaveLength(runningPods + 1);
});
