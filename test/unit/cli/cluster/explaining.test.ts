import { describe, expect, it } from '@jest/globals';
import { connection } from '../documents.ts';
import { explainingNode, type ExplainingOptions, onlyCart, shop } from '../explaining-nodes.ts';
import { fakeCluster, machine, podOf, runningPod } from '../fake-cluster.ts';
import { run } from '../harness.ts';

const names = ['node-0', 'node-a', 'node-b', ...Array.from({ length: 47 }, (_, i) => `worker-${i}`)];
const mesh = { ...shop, policies: [onlyCart] };

const clusterOf = (options: ExplainingOptions = { mesh }) =>
  fakeCluster({
    pods: names.map((name) => runningPod(name)),
    machines: Object.fromEntries(
      names.map((name) => [name, machine(name, explainingNode(name, options).answers)]),
    ),
  });

describe('an explanation from outside a cluster of many nodes', () => {
  it('is asked of one that knows the pods, and of the nodes of those alone; all are let go of', async () => {
    const cluster = clusterOf();
    const { code, out, err } = await run('explain shop/web-1 db.shop:5432', { cluster: () => cluster });
    expect({ code, err }).toEqual({ code: 1, err: '' });
    expect(out).toContain('as node-a and node-b have it');
    expect(cluster.started.map(({ pod }) => pod).toSorted()).toEqual(
      ['node-0', 'node-a', 'node-b'].map(podOf),
    );
    expect(cluster.running()).toBe(0);
  });

  it('is asked of the same nodes for each of many cases, without starting anything anew', async () => {
    const cluster = clusterOf();
    const cases = Array.from({ length: 20 }, () => '- { from: shop/web-1, to: db.shop, expect: deny }').join(
      '\n',
    );
    const { code } = await run('policy test cases.yaml', {
      cluster: () => cluster,
      files: { 'cases.yaml': cases },
    });
    expect(code).toBe(0);
    expect(cluster.started).toHaveLength(3);
    expect(cluster.running()).toBe(0);
  });

  it('lets go of the nodes when there is nothing to explain', async () => {
    const cluster = clusterOf();
    expect((await run('explain shop/nobody db.shop', { cluster: () => cluster })).code).toBe(3);
    expect(cluster.running()).toBe(0);
  });

  it('tells of a connection that was, wherever it is remembered', async () => {
    const cluster = clusterOf({
      mesh,
      recent: [
        connection('c-1', { source: { address: '10.1.0.1:1', workload: 'shop/web-1', identity: null } }),
      ],
    });
    const { code, out } = await run('why node-b/c-1', { cluster: () => cluster });
    expect(code).toBe(0);
    expect(out).toMatch(/^COMPLETED {2}shop\/web-1 -> shop\/web:80/);
    expect(cluster.running()).toBe(0);
  });
});
