import { describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../../src/base/errors.ts';
import { greeting } from '../../../../src/cli/inspect/protocol.ts';
import { nodePins } from '../../../../src/cli/places.ts';
import {
  fakeCluster,
  type FakeClusterOptions,
  fromLaptop,
  machine,
  namespace,
  podOf,
  runningPod,
  saying,
} from '../fake-cluster.ts';
import { run } from '../harness.ts';

const pending = {
  status: {
    phase: 'Pending',
    conditions: [{ type: 'PodScheduled', status: 'False', message: '0/2 nodes are available' }],
  },
  spec: {
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', values: ['node-b'] }] }],
        },
      },
    },
  },
};
const waiting = (reason: string, message: string) => ({
  status: {
    phase: 'Running',
    containerStatuses: [{ name: 'node', state: { waiting: { reason, message } } }],
  },
});

describe('a node of the cluster that cannot be asked', () => {
  it.each([
    ['its pod waits for room', pending, /Pending: 0\/2 nodes are available/],
    ['its image cannot be pulled', waiting('ImagePullBackOff', 'not found'), /ImagePullBackOff: not found/],
    ['its program keeps ending', waiting('CrashLoopBackOff', 'back-off 5m'), /CrashLoopBackOff: back-off 5m/],
    [
      'its program has ended',
      {
        status: {
          phase: 'Running',
          containerStatuses: [{ name: 'node', state: { terminated: { exitCode: 3, reason: 'Error' } } }],
        },
      },
      /Error: its program ended with exit status 3/,
    ],
  ])('is listed when %s', async (_what, broken, says) => {
    const pods = [runningPod('node-a'), runningPod('node-b', broken)];
    expect((await fromLaptop('version', { pods })).err).toMatch(says);
    for (const line of ['workloads', 'maps list', 'workloads --node node-b']) {
      const { code, err } = await fromLaptop(line, { pods });
      expect(code).toBe(3);
      expect(err).toMatch(
        /not reached: node node-b: pod mesh-ebpf-system\/mesh-ebpf-node-node-b does not run/,
      );
      expect(err).toMatch(says);
    }
    const { out } = await fromLaptop('workloads -o json', { pods });
    expect(JSON.parse(out)).toMatchObject({
      unreachable: [{ node: 'node-b', where: `pod ${namespace}/${podOf('node-b')}`, code: 'UNAVAILABLE' }],
    });
  });

  it('is listed when the DaemonSet wants a pod on it and has none', async () => {
    const options = { pods: [runningPod('node-a')], nodes: ['node-a', 'node-z'] };
    const { code, err } = await fromLaptop('status', options);
    expect(code).toBe(3);
    expect(err).toMatch(/node node-z: it has no pod of the mesh: the DaemonSet wants 2 and has 1/);
    expect((await fromLaptop('status --node node-z', options)).err).toMatch(/node node-z: it has no pod/);
  });

  it('is not listed twice while one pod replaces another: the one that runs is asked', async () => {
    const { metadata } = runningPod('node-a');
    const pods = [
      runningPod('node-a', {
        metadata: { ...metadata, name: 'old', deletionTimestamp: '2026-01-01T00:00:00Z' },
      }),
      runningPod('node-a', { metadata: { ...metadata, name: 'new' }, status: { phase: 'Pending' } }),
    ];
    const cluster = fakeCluster({ pods, desired: 1 });
    expect((await run('status', { cluster: () => cluster })).code).toBe(0);
    expect(cluster.started.map(({ pod }) => pod)).toEqual(['old']);
  });

  it('does not pass for a mesh without pods when no node answers', async () => {
    const { err } = await fromLaptop('workloads', { pods: [runningPod('node-a', pending)] });
    expect(err).toMatch(/nothing to show from the nodes that answered/);
    expect(err).not.toMatch(/knows no pod/);
  });

  it('is told from one that does not exist', async () => {
    const { code, err } = await fromLaptop('status --node node-z');
    expect(code).toBe(1);
    expect(err).toMatch(/no node "node-z" in this cluster\n.*node-a, node-b/);
  });

  it.each([null, 0])('is no news when the mesh is not there at all (DaemonSet: %s)', async (desired) => {
    const { code, err } = await fromLaptop('status', { pods: [], desired });
    expect(code).toBe(3);
    expect(err).toMatch(desired === null ? /not in namespace .*api\.test[^]*install/ : /no pod on any node/);
  });
});

const hello = `${JSON.stringify(greeting('0.1.0'))}\n`;

/** A program that does not know the command. */
const tooOld: FakeClusterOptions['start'] = async (_program, events) => {
  queueMicrotask(() => events.ended({ type: 'exited', status: 2, stderr: "unknown command 'inspect'" }));
  return await Promise.resolve({ send: () => {}, close: () => {} });
};

/** A connection that breaks in the midst of an answer. */
const cutOff: FakeClusterOptions['start'] = async (_program, events) => {
  queueMicrotask(() => events.stdout(Buffer.from(hello)));
  const send = (): void => {
    events.stdout(Buffer.from('{"answer":{"status":200,"docu'));
    events.ended({ type: 'failed', error: new MeshError('UNAVAILABLE', 'the connection broke') });
  };
  return await Promise.resolve({ send, close: () => {} });
};

describe('a node of the cluster that answers badly', () => {
  it.each([
    ['no JSON', saying('\u001b]0;owned\u0007\n'), /does not greet as this version/],
    ['another greeting', saying('{"apiVersion":"v9","kind":"X"}\n'), /does not greet as this version/],
    ['an answer that is none', saying(hello, '[]\n'), /answers nothing that this version knows/],
    ['an answer of another shape', saying(hello, '{"answer":{"status":"x"}}\n'), /about admin is not/],
  ])('is listed when it says %s', async (_what, start, says) => {
    const { code, out, err } = await fromLaptop('workloads', { start });
    expect({ code, out }).toEqual({ code: 3, out: '' });
    expect(err).toMatch(says);
    // oxlint-disable-next-line no-control-regex -- the very characters that must not come through
    expect(err).not.toMatch(/[\u001b\u0007]/);
  });

  it('is listed when it passes for another node', async () => {
    const machines = { 'node-b': machine('node-a') };
    const { code, err } = await fromLaptop('status', { machines });
    expect(code).toBe(3);
    expect(err).toMatch(/node node-b: its node program says that it is node "node-a"/);
  });

  it('is listed when its program is too old to be inspected', async () => {
    const { code, err } = await fromLaptop('status --node node-a', { start: tooOld });
    expect(code).toBe(3);
    expect(err).toMatch(/cannot be inspected \(it is of an older version/);
  });

  it('is listed when it is cut off in the midst of an answer', async () => {
    const { code, err } = await fromLaptop('status', { start: cutOff });
    expect(code).toBe(3);
    expect(err).toMatch(/not reached: node node-a: the connection broke/);
  });

  it('is waited for as long as --timeout says, also while it is being reached', async () => {
    for (const start of [saying(hello), saying(), () => new Promise<never>(() => {})]) {
      const hanging: FakeClusterOptions['start'] = async (program, events, signal) =>
        await Promise.race([
          start(program, events, signal),
          new Promise<never>((_resolve, reject) =>
            signal.addEventListener('abort', () => reject(signal.reason)),
          ),
        ]);
      const cluster = fakeCluster({ start: hanging });
      const { code, err } = await run('status --timeout 20ms', { cluster: () => cluster });
      expect(code).toBe(3);
      expect(err).toMatch(/node-a: the node at pod .* did not answer in time \(.*--timeout/);
      expect(cluster.running()).toBe(0);
    }
  });

  it('passes on what is wrong on the node itself', async () => {
    const bare = { ...machine('node-b'), files: {} };
    const { code, err } = await fromLaptop('maps list', { machines: { 'node-b': bare } });
    expect(code).toBe(3);
    expect(err).toContain(`not reached: node node-b: no BPF object of the mesh is pinned in ${nodePins}`);
  });
});
