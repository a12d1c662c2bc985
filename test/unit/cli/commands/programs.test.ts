import { describe, expect, it } from '@jest/globals';
import { program, kernelWorld } from '../fake-kernel.ts';
import { run } from '../harness.ts';

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

  it('says how to count runs when the kernel does not', async () => {
    const { err } = await run(
      'programs',
      kernelWorld({ programs: () => [program('p', { runs: 0n, averageNs: undefined })] }),
    );
    expect(err).toMatch(/kernel\.bpf_stats_enabled=1/);
  });
});
