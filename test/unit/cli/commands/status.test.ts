import { describe, expect, it } from '@jest/globals';
import { status } from '../documents.ts';
import { fullNode, twoNodes } from '../fake-nodes.ts';
import { labNode, run } from '../harness.ts';

describe('mesh-ebpf status', () => {
  it('sums up the mesh in its first line', async () => {
    const { out } = await run('status', { nodes: twoNodes });
    expect(out.split('\n')[0]).toMatch(
      /MESH +ok +2\/2 nodes, 4\/4 labelled pods enrolled, 6 live connections, CLI 0\.1\.0/,
    );
    expect(out).toMatch(/node-a +ok +2\/2 +3 +1 out, 2 in +ok +9h \(ns\/shop\/sa\/web\) +3h/);
  });

  it('shows what needs a person, why, since when and what to do, and exits 1', async () => {
    const problem = {
      code: 'NETNS',
      subject: 'pod shop/cart-7f9c',
      message: 'not enrolled: no process holds its network namespace',
      hint: 'kubectl -n shop delete pod cart-7f9c',
      since: '2026-11-21T10:00:00Z',
    } as const;
    const { code, out, err } = await run('status', {
      nodes: [
        fullNode('node-a', {
          '/v1/status': { node: 'node-a', ...status({ health: 'degraded', problems: [problem] }) },
        }),
      ],
    });
    expect(code).toBe(1);
    expect(out).toMatch(/MESH +degraded/);
    expect(out).toMatch(/pod shop\/cart-7f9c: not enrolled: no process.*\(for 2h\)\n +next: kubectl/);
    expect(err).toMatch(/mesh-ebpf doctor/);
  });

  it('quotes times in yaml, which older readers would take for dates', async () => {
    expect((await run('status -o yaml', { nodes: twoNodes })).out).toMatch(/startedAt: "2026-/);
  });

  it('does not call a mesh ill of which it heard nothing', async () => {
    const { code, out } = await run('status', { nodes: [labNode('node-a', {})] });
    expect(code).toBe(3);
    expect(out).toMatch(/^MESH +unknown +0\/1 node,.*\n$/);
  });

  it('says what a starting node waits for', async () => {
    const starting = {
      node: 'node-a',
      ...status({ readiness: { ready: false, pending: ['BPF programs'] } }),
    };
    const { out } = await run('status', { nodes: [fullNode('node-a', { '/v1/status': starting })] });
    expect(out).toMatch(/not ready: BPF programs/);
  });
});
