import { describe, expect, it } from '@jest/globals';
import { policy } from '../documents.ts';
import { fullNode, list } from '../fake-nodes.ts';
import { type FakeNode, run } from '../harness.ts';

const policyOn = (node: string): FakeNode =>
  fullNode(node, {
    '/v1/policies': {
      node,
      ...list('PolicyList', policy('db-allow', { workloads: [`shop/db-${node}`] })),
    },
  });

describe('mesh-ebpf policies', () => {
  it('joins the pods that each node names', async () => {
    const { out } = await run('policies -o wide', { nodes: [policyOn('node-a'), policyOn('node-b')] });
    expect(out).toMatch(/shop\/db-allow +allow +app=db +2 .*shop\/db-node-a,shop\/db-node-b/);
  });

  it('says what the absence of policies means', async () => {
    const { err } = await run('policies', {
      nodes: [fullNode('node-a', { '/v1/policies': { node: 'node-a', ...list('PolicyList') } })],
    });
    expect(err).toMatch(/every connection is allowed/);
  });
});
