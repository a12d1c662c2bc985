import { describe, expect, it } from '@jest/globals';
import { workload } from '../documents.ts';
import { fullNode, list, twoNodes } from '../fake-nodes.ts';
import { type FakeNode, run } from '../harness.ts';

const seenFrom = (node: string): FakeNode =>
  fullNode(node, {
    '/v1/workloads': {
      node,
      ...list(
        'WorkloadList',
        workload('a-1', {
          node: 'node-a',
          enrolment: node === 'node-a' ? 'enrolled' : 'remote',
          certificate: null,
        }),
        workload('b-1', {
          node: 'node-b',
          enrolment: node === 'node-b' ? 'enrolled' : 'remote',
          certificate: null,
        }),
      ),
    },
  });

describe('mesh-ebpf workloads', () => {
  it('believes the pod’s own node over the others', async () => {
    const { out } = await run('workloads', { nodes: [seenFrom('node-a'), seenFrom('node-b')] });
    expect(out.trim().split('\n')).toHaveLength(3);
    expect(out).toMatch(/shop\/a-1 +node-a +yes/);
    expect(out).toMatch(/shop\/b-1 +node-b +yes/);
  });

  it('says why a pod is not captured, that its policies are not enforced, and exits 1', async () => {
    const lost = workload('cart-1', {
      enrolment: 'no',
      reason: 'no network namespace',
      policies: ['shop/p1', 'shop/p2'],
    });
    const { code, out } = await run('workloads', {
      nodes: [fullNode('node-a', { '/v1/workloads': { node: 'node-a', ...list('WorkloadList', lost) } })],
    });
    expect(code).toBe(1);
    expect(out).toMatch(/NO: no network namespace.*2 NOT ENFORCED/);
  });

  it('names what it lists for other commands', async () => {
    expect((await run('workloads -o name', { nodes: [fullNode('node-a')] })).out).toBe(
      'workload/shop/web-1\n',
    );
  });

  it('says why a list is empty, on stderr', async () => {
    const { code, out, err } = await run('workloads -n blog', { nodes: twoNodes });
    expect({ code, out }).toEqual({ code: 0, out: '' });
    expect(err).toMatch(/no workload in namespace "blog"; 1 in others/);
    const none = await run('workloads', {
      nodes: [fullNode('node-a', { '/v1/workloads': { node: 'node-a', ...list('WorkloadList') } })],
    });
    expect(none.err).toMatch(/istio.io\/dataplane-mode=ambient/);
  });

  it('shows addresses and identities when asked for wide', async () => {
    expect((await run('workloads', { nodes: twoNodes })).out).not.toMatch(/fd00::5/);
    expect((await run('workloads -o wide', { nodes: twoNodes })).out).toMatch(/10\.0\.0\.5,fd00::5.*spiffe:/);
  });

  it('shows what a peer put into a name instead of obeying it', async () => {
    const hostile = workload('web\u001b[2J\u009b31m\u202eexe\r\nshop/fake  node-a  yes');
    const nodes = [
      fullNode('node-a', { '/v1/workloads': { node: 'node-a', ...list('WorkloadList', hostile) } }),
    ];
    for (const format of ['table', 'wide', 'name', 'json', 'yaml']) {
      const { out } = await run(`workloads -o ${format}`, {
        nodes,
        terminal: true,
        columns: 200,
        variables: { NO_COLOR: '1' },
      });
      // oxlint-disable-next-line no-control-regex -- the very characters that must not come through
      expect(out).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
      expect(out).not.toMatch(/^shop\/fake/m);
    }
    const { out } = await run('workloads -o json', { nodes });
    expect(JSON.parse(out)).toMatchObject({ items: [{ name: hostile.name }] });
  });
});
