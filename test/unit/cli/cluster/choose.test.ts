import { describe, expect, it } from '@jest/globals';
import type { ClusterChoice } from '../../../../src/cli/env.ts';
import { fakeCluster, namespace } from '../fake-cluster.ts';
import { kernelWorld } from '../fake-kernel.ts';
import { twoNodes } from '../fake-nodes.ts';
import { run, type Run, type World } from '../harness.ts';

const asks = async (
  line: string,
  world: World = {},
): Promise<{ readonly run: Run; readonly chosen: ClusterChoice[] }> => {
  const chosen: ClusterChoice[] = [];
  const choose = (choice: ClusterChoice) => {
    chosen.push(choice);
    return fakeCluster();
  };
  return { run: await run(line, { cluster: choose, ...world }), chosen };
};

describe('which nodes a command asks', () => {
  it.each(['status', 'maps list'])('asks this machine’s own with "%s", if it has any', async (line) => {
    const kernel = kernelWorld({}, ['node-a'], { nodes: twoNodes });
    const { chosen, run: ran } = await asks(line, kernel);
    expect({ chosen, code: ran.code }).toEqual({ chosen: [], code: 0 });
  });

  it.each(['status', 'maps list'])('asks the usual cluster’s with "%s", if there are none', async (line) => {
    const { chosen, run: ran } = await asks(line);
    expect(ran).toMatchObject({ code: 0, err: '' });
    expect(ran.out).toMatch(/node-a[^]*node-b/);
    expect(chosen).toEqual([expect.objectContaining({ meshNamespace: namespace })]);
  });

  it.each([
    ['status --context staging', { context: 'staging' }],
    ['maps list --kubeconfig /tmp/config', { kubeconfig: '/tmp/config' }],
    ['doctor --context staging', { context: 'staging' }],
  ])('asks a cluster’s with "%s", whatever is on this machine', async (line, choice) => {
    const { chosen, run: ran } = await asks(line, kernelWorld({}, ['node-a'], { nodes: twoNodes }));
    expect(chosen).toEqual([expect.objectContaining(choice)]);
    expect(ran.requests).toEqual([]);
  });

  it.each(['status --socket /x --context y', 'maps list --pin-root /x --kubeconfig y'])(
    'refuses "%s", which is both',
    async (line) => {
      const { chosen, run: ran } = await asks(line);
      expect({ chosen, code: ran.code, out: ran.out }).toEqual({ chosen: [], code: 2, out: '' });
      expect(ran.err).toMatch(/cannot be used with/);
    },
  );

  it.each(['status', 'maps list'])(
    'names the ways there are with "%s", when there is neither',
    async (line) => {
      const { code, err } = await run(line);
      expect(code).toBe(3);
      expect(err).toMatch(/on this machine[^]*--kubeconfig/);
    },
  );
});
