import { describe, expect, it } from '@jest/globals';
import { fromLaptop, runningPod } from '../fake-cluster.ts';

describe('mesh-ebpf doctor, from outside the cluster', () => {
  it('lets each node check itself, and shows what is not well', async () => {
    const { code, out } = await fromLaptop('doctor');
    expect(code).toBe(1);
    expect(out).toMatch(/ok +node-a +\d+ checks ok/);
    expect(out).toMatch(/FAIL +node-b: cgroup v2 +not mounted\n +cost:/);
    expect(out).not.toMatch(/tcpdump|nftables/);
    const one = await fromLaptop('doctor --node node-a');
    expect(one.out).toMatch(/ok +node-a: privileges +root/);
    expect(one.out).not.toMatch(/node-b/);
  });

  it('says for each check which node it is of, as json', async () => {
    const { items } = JSON.parse((await fromLaptop('doctor -o json')).out) as {
      items: { node: string; name: string }[];
    };
    expect(new Set(items.map(({ node }) => node))).toEqual(new Set(['node-a', 'node-b']));
  });

  it('names the nodes that cannot check themselves', async () => {
    const pods = [runningPod('node-a'), runningPod('node-b', { status: { phase: 'Pending' } })];
    const { code, out } = await fromLaptop('doctor', { pods });
    expect(code).toBe(3);
    expect(out).toMatch(/\? +node-b: node program +pod .* does not run: it is Pending/);
  });

  it('checks this machine when the cluster has no mesh and nobody named it, and says so', async () => {
    const { out, err } = await fromLaptop('doctor', { pods: [], desired: null });
    expect(out).toMatch(/kernel +6\.18\.0/);
    expect(err).toMatch(/this machine is checked, and no cluster: the mesh is not in/);
    const named = await fromLaptop('doctor --context x', { pods: [], desired: null });
    expect(named).toMatchObject({ code: 3, out: '' });
  });
});
