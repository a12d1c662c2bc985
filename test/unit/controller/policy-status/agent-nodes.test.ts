/** Which nodes have a node program: those that can be behind. */
import { expect, it } from '@jest/globals';
import { AgentNodes } from '../../../../src/controller/policy-status/agent-nodes.ts';
import { objectKey, type Pod, type SourcedObject } from '../../../../src/kube/objects.ts';

function agent(
  name: string,
  node: string,
  fields: { readonly account?: string; readonly phase?: string } = {},
) {
  const { account = 'mesh-ebpf-node', phase = 'Running' } = fields;
  const object = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace: 'mesh-ebpf-system', name },
    spec: { nodeName: node, serviceAccountName: account, hostNetwork: true, containers: [] },
    status: { phase },
  } as unknown as Pod;
  return { object, position: undefined } satisfies SourcedObject;
}

it('are those with a pod of the node program that has not ended; of two on a node one may go', () => {
  const gone: string[] = [];
  let changes = 0;
  const nodes = new AgentNodes(
    { namespace: 'mesh-ebpf-system', serviceAccount: 'mesh-ebpf-node' },
    (left) => {
      changes += 1;
      gone.push(...left);
    },
  );
  const set = (...pods: readonly SourcedObject[]): void => nodes.changed({ set: pods, deleted: [] });
  const remove = (pod: SourcedObject): void => nodes.changed({ set: [], deleted: [objectKey(pod.object)] });
  set(agent('one', 'a'), agent('two', 'b'), agent('controller', 'c', { account: 'mesh-ebpf-controller' }));
  expect([...nodes.nodes]).toEqual(['a', 'b']);
  set(agent('one-next', 'a'));
  remove(agent('one', 'a'));
  expect([...nodes.nodes].toSorted()).toEqual(['a', 'b']);
  expect([changes, gone]).toEqual([1, []]);
  set(agent('two', 'b', { phase: 'Failed' }));
  remove(agent('one-next', 'a'));
  expect([[...nodes.nodes], gone]).toEqual([[], ['b', 'a']]);
  remove(agent('controller', 'c'));
  expect(changes).toBe(3);
});
