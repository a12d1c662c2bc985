import { describe, expect, it } from '@jest/globals';
import { troubleOf, whyNotRunning } from '../../../../src/kube/client/pod-trouble.ts';

describe('what is wrong with a pod', () => {
  const metadata = { name: 'mesh-ebpf-node-x1', namespace: 'mesh-ebpf-system' };
  const spec = { nodeName: 'node-a' };

  it.each([
    [{ conditions: [{ type: 'PodScheduled', status: 'False', message: 'no nodes available' }] }, /no nodes/],
    [
      {
        containerStatuses: [
          { name: 'node', state: { waiting: { reason: 'ErrImagePull', message: 'not found' } } },
        ],
      },
      /ErrImagePull: not found/,
    ],
    [{ initContainerStatuses: [{ name: 'uninstall', state: { terminated: { exitCode: 1 } } }] }, /status 1/],
    [
      { conditions: [{ type: 'Ready', status: 'False', message: 'containers with unready status' }] },
      /unready/,
    ],
  ])('is found in its status: %j', (status, reason) => {
    expect(troubleOf({ metadata, spec, status })).toMatchObject({
      pod: 'mesh-ebpf-node-x1 on node-a',
      reason: expect.stringMatching(reason),
      next: expect.stringContaining('kubectl -n mesh-ebpf-system'),
    });
  });

  it('is nothing when it is ready', () => {
    expect(
      troubleOf({ metadata, spec, status: { conditions: [{ type: 'Ready', status: 'True' }] } }),
    ).toBeUndefined();
  });
});

const inState = (state: object) => ({ phase: 'Pending', containerStatuses: [{ name: 'node', state }] });

describe('why a container of a pod does not run', () => {
  const metadata = { name: 'mesh-ebpf-node-x1' };
  const of = (status: object): string | undefined => whyNotRunning({ metadata, status }, 'node');

  it.each([
    [inState({ waiting: { reason: 'ErrImagePull', message: 'not found' } }), 'ErrImagePull: not found'],
    [inState({ waiting: { reason: 'ContainerCreating' } }), 'Pending: ContainerCreating'],
    [
      inState({ terminated: { reason: 'OOMKilled', exitCode: 137 } }),
      'OOMKilled: its program ended with exit status 137',
    ],
    [
      {
        phase: 'Pending',
        conditions: [{ type: 'PodScheduled', status: 'False', message: 'no nodes available' }],
      },
      'Pending: no nodes available',
    ],
    [
      { phase: 'Failed', reason: 'Evicted', message: 'the node was low on memory' },
      'Failed: the node was low on memory',
    ],
    [{}, 'it is unknown'],
  ])('is found in its status: %j', (status, reason) => {
    expect(of(status)).toBe(reason);
  });

  it('is no question while it runs, whatever others do', () => {
    const containerStatuses = [
      { name: 'sidecar', state: { waiting: { reason: 'CrashLoopBackOff' } } },
      { name: 'node', state: { running: {} } },
    ];
    expect(of({ phase: 'Running', containerStatuses })).toBeUndefined();
  });
});
