import { describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../../src/base/errors.ts';
import type { DatapathAccess } from '../../../../src/cli/env.ts';
import { fromLaptop, machine, runningPod } from '../fake-cluster.ts';
import { program, kernelWorld } from '../fake-kernel.ts';
import { run, type World } from '../harness.ts';

describe('mesh-ebpf programs', () => {
  const inPods = [1, 2, 3].map((n) =>
    program('mesh_sk_lookup', { attachPoint: 'sk_lookup', target: `shop/web-${n}`, attached: n !== 2 }),
  );

  it('sums up the pods of the inbound program, names those that lack it, and exits 1', async () => {
    const { code, out } = await run(
      'programs',
      kernelWorld({ programs: () => [program('mesh_connect4'), ...inPods] }),
    );
    expect(code).toBe(1);
    expect(out).toMatch(/mesh_connect4 +node-a +cgroup\/connect4 +yes +12 +310 ns/);
    expect(out).toMatch(/mesh_sk_lookup +node-a +sk_lookup +2\/3, not shop\/web-2/);
  });

  it('shows one row a place when asked for wide', async () => {
    const { out } = await run('programs -o wide', kernelWorld({ programs: () => inPods }));
    expect(out.trim().split('\n')).toHaveLength(4);
    expect(out).toMatch(/shop\/web-3/);
  });

  it('prints 64-bit counts as json', async () => {
    const { out } = await run(
      'programs -o json',
      kernelWorld({ programs: () => [program('p', { runs: 2n ** 63n })] }),
    );
    expect(JSON.parse(out)).toMatchObject({ items: [{ runs: '9223372036854775808' }] });
  });

  it('says how often each ran and how long that took with --stats', async () => {
    const { code, out, err } = await run('programs --stats', kernelWorld({ programs: () => [program('p')] }));
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/^PROGRAM +NODE +HOOK +ATTACHED +RUNS +TOTAL +AVERAGE\n/);
    expect(out).toMatch(/^p +node-a +cgroup\/connect4 +yes +12 +3720 ns +310 ns$/m);
  });

  it('says with --stats that what there is is old, when nothing is counted now', async () => {
    const old = kernelWorld({ programs: () => [program('p', { isCounting: false })] });
    expect((await run('programs --stats', old)).err).toMatch(
      /counts no runs now, these are from before.*--for 5s/,
    );
    expect((await run('programs', old)).err).toBe('');
  });

  it('says how to count runs when the kernel does not', async () => {
    const { err } = await run(
      'programs',
      kernelWorld({ programs: () => [program('p', { runs: 0n, averageNs: undefined })] }),
    );
    expect(err).toMatch(/kernel\.bpf_stats_enabled=1/);
  });
});

/** A kernel in which each reading finds ten runs more; it says when it is told to count. */
const counted = (told: string[], extra: World = {}): World => {
  let readings = 0n;
  const clock = {
    now: () => 0,
    random: () => 0,
    after: (ms: number, act: () => void) => {
      if (ms !== 5000) return () => {};
      told.push(`waits ${ms}`);
      queueMicrotask(act);
      return () => {};
    },
  };
  const datapath: Partial<DatapathAccess> = {
    startCounting: () => {
      told.push('counts');
      return () => void told.push('stops');
    },
    programs: () => {
      readings += 1n;
      return [program('p', { runs: readings * 10n, totalNs: readings * 2500n })];
    },
  };
  return kernelWorld(datapath, ['node-a'], { ...extra, env: { ...extra.env, clock } });
};

const refused = (): never => {
  throw new MeshError('PERMISSION', 'you may not', { hint: 'run it as root' });
};

describe('mesh-ebpf programs --stats --for', () => {
  it('has the kernel count for that time, and tells what ran then', async () => {
    const told: string[] = [];
    const { code, out, err } = await run('programs --stats --for 5s', counted(told));
    expect({ code, told, err }).toEqual({
      code: 0,
      told: ['counts', 'waits 5000', 'stops'],
      err: 'counting for 5.0s\n',
    });
    expect(out).toMatch(/^p .* 10 +2500 ns +250 ns$/m);
  });

  it('tells on a terminal how long it still takes, and leaves nothing of that behind', async () => {
    const { err } = await run('programs --for 5s', counted([], { terminal: true }));
    expect(err).toMatch(/^\rcounting, 5s left *\r +\r$/);
  });

  it('counts no longer when it is interrupted', async () => {
    const told: string[] = [];
    const interrupted = AbortSignal.abort();
    const { code, err } = await run('programs --for 5s', counted(told, { env: { interrupted } }));
    expect(code).toBe(3);
    expect(err).toMatch(/interrupted/);
    expect(told).toEqual(['counts', 'stops']);
  });

  it('says who may not', async () => {
    const { code, err } = await run('programs --for 5s', kernelWorld({ startCounting: refused }));
    expect(code).toBe(3);
    expect(err).toMatch(/node node-a: you may not \(run it as root\)/);
  });

  it.each(['0s', '2h', 'soon'])('refuses to count for "%s"', async (time) => {
    const told: string[] = [];
    expect((await run(`programs --for ${time}`, counted(told))).code).toBe(2);
    expect(told).toEqual([]);
  });

  it('is done by each node of a cluster', async () => {
    const told: string[] = [];
    const world = counted(told);
    const at = machine('node-a', {}, world.env);
    const { code, out } = await fromLaptop('programs --for 5s', {
      pods: [runningPod('node-a')],
      machines: { 'node-a': at },
    });
    expect({ code, told }).toEqual({ code: 0, told: ['counts', 'waits 5000', 'stops'] });
    expect(out).toMatch(/^p +node-a .* 10 +2500 ns +250 ns$/m);
  });
});
