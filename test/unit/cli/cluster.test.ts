import { describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../src/base/errors.ts';
import type { ClusterChoice } from '../../../src/cli/env.ts';
import { greeting } from '../../../src/cli/inspect/protocol.ts';
import { nodePins } from '../../../src/cli/places.ts';
import { connection, status } from './documents.ts';
import {
  fakeCluster,
  type FakeClusterOptions,
  forbidden,
  machine,
  namespace,
  podOf,
  runningPod,
  saying,
} from './fake-cluster.ts';
import { kernelWorld } from './fake-kernel.ts';
import { twoNodes } from './fake-nodes.ts';
import { document, run, type Run, type World } from './harness.ts';

/** Runs a command on a laptop whose kubeconfig leads to this cluster. */
const fromLaptop = async (
  line: string,
  options: FakeClusterOptions = {},
  extra: World = {},
): Promise<Run> => {
  const cluster = fakeCluster(options);
  return await run(line, { ...extra, cluster: () => cluster });
};

const readCommands = [
  'status',
  'workloads',
  'services',
  'certs',
  'policies',
  'connections',
  'version',
  'maps list',
  'maps dump pods',
  'maps get pods shop/web-1',
  'programs',
];

describe('which nodes a command asks', () => {
  const asks = async (
    line: string,
    world: World = {},
  ): Promise<{ readonly run: Run; readonly chosen: ClusterChoice[] }> => {
    const chosen: ClusterChoice[] = [];
    const choose = (choice: ClusterChoice) => {
      chosen.push(choice);
      return fakeCluster();
    };
    return { run: await run(line, { cluster: choose, ...world }), chosen };
  };

  it.each(['status', 'maps list'])('asks this machine’s own with "%s", if it has any', async (line) => {
    const kernel = kernelWorld({}, ['node-a'], { nodes: twoNodes });
    const { chosen, run: ran } = await asks(line, kernel);
    expect({ chosen, code: ran.code }).toEqual({ chosen: [], code: 0 });
  });

  it.each(['status', 'maps list'])('asks the usual cluster’s with "%s", if there are none', async (line) => {
    const { chosen, run: ran } = await asks(line);
    expect(ran).toMatchObject({ code: 0, err: '' });
    expect(ran.out).toMatch(/node-a[^]*node-b/);
    expect(chosen).toEqual([expect.objectContaining({ meshNamespace: namespace })]);
  });

  it.each([
    ['status --context staging', { context: 'staging' }],
    ['maps list --kubeconfig /tmp/config', { kubeconfig: '/tmp/config' }],
    ['doctor --context staging', { context: 'staging' }],
  ])('asks a cluster’s with "%s", whatever is on this machine', async (line, choice) => {
    const { chosen, run: ran } = await asks(line, kernelWorld({}, ['node-a'], { nodes: twoNodes }));
    expect(chosen).toEqual([expect.objectContaining(choice)]);
    expect(ran.requests).toEqual([]);
  });

  it.each(['status --socket /x --context y', 'maps list --pin-root /x --kubeconfig y'])(
    'refuses "%s", which is both',
    async (line) => {
      const { chosen, run: ran } = await asks(line);
      expect({ chosen, code: ran.code, out: ran.out }).toEqual({ chosen: [], code: 2, out: '' });
      expect(ran.err).toMatch(/cannot be used with/);
    },
  );

  it.each(['status', 'maps list'])(
    'names the ways there are with "%s", when there is neither',
    async (line) => {
      const { code, err } = await run(line);
      expect(code).toBe(3);
      expect(err).toMatch(/on this machine[^]*--kubeconfig/);
    },
  );
});

describe.each(readCommands)('mesh-ebpf %s, from outside the cluster', (line) => {
  it.each(['table', 'json', 'yaml'])('prints what the nodes say, as %s', async (format) => {
    const { code, out, err } = await fromLaptop(`${line} -o ${format}`);
    expect({ code, err: err.replace(/the kernel counts.*\n/, '') }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/node-a|shop/);
  });

  it('needs no more than to list pods and to run a program in them', async () => {
    const cluster = fakeCluster({
      refuse: ({ path }) => (path.endsWith('/pods') ? undefined : forbidden('get', 'x')),
    });
    const { code, err } = await run(line, { cluster: () => cluster });
    expect(code).toBe(0);
    expect(err).toMatch(/nodes that have no pod of the mesh are not shown: .*verbs: \["get"\]/);
  });

  it('asks one node’s pod only with --node', async () => {
    const cluster = fakeCluster();
    expect((await run(`${line} --node node-b`, { cluster: () => cluster })).code).toBe(0);
    expect(cluster.started.map(({ pod }) => pod)).toEqual([podOf('node-b')]);
    expect(cluster.requests).toHaveLength(1);
  });
});

describe('a node of the cluster that cannot be asked', () => {
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

describe('rights that are missing', () => {
  it('names the rule for listing pods', async () => {
    const { code, err } = await fromLaptop('status', { refuse: () => forbidden('list', 'pods') });
    expect(code).toBe(3);
    expect(err).toMatch(
      /a role in mesh-ebpf-system must grant apiGroups: \[""\], resources: \["pods"\], verbs: \["list"\]/,
    );
  });

  it('names the rule for running a program, node by node', async () => {
    const start = () => Promise.reject(forbidden('get', 'pods/exec'));
    const { code, err } = await fromLaptop('status', { start });
    expect(code).toBe(3);
    expect(err.match(/not reached: node node-.*resources: \["pods\/exec"\]/g)).toHaveLength(2);
  });
});

describe('a node of the cluster that answers badly', () => {
  const hello = `${JSON.stringify(greeting('0.1.0'))}\n`;

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
    const start: FakeClusterOptions['start'] = async (_program, events) => {
      queueMicrotask(() => events.ended({ type: 'exited', status: 2, stderr: "unknown command 'inspect'" }));
      return await Promise.resolve({ send: () => {}, close: () => {} });
    };
    const { code, err } = await fromLaptop('status --node node-a', { start });
    expect(code).toBe(3);
    expect(err).toMatch(/cannot be inspected \(it is of an older version/);
  });

  it('is listed when it is cut off in the midst of an answer', async () => {
    const start: FakeClusterOptions['start'] = async (_program, events) => {
      queueMicrotask(() => events.stdout(Buffer.from(hello)));
      const send = (): void => {
        events.stdout(Buffer.from('{"answer":{"status":200,"docu'));
        events.ended({ type: 'failed', error: new MeshError('UNAVAILABLE', 'the connection broke') });
      };
      return await Promise.resolve({ send, close: () => {} });
    };
    const { code, err } = await fromLaptop('status', { start });
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

describe('a cluster of many nodes', () => {
  const names = Array.from({ length: 50 }, (_, index) => `node-${String(index).padStart(2, '0')}`);

  it.each(['status', 'maps list', 'doctor'])('is asked 16 at a time by "%s", and let go of', async (line) => {
    const cluster = fakeCluster({ pods: names.map((name) => runningPod(name)) });
    const { out } = await run(line, { cluster: () => cluster });
    for (const name of names) expect(out).toContain(name);
    expect({ most: cluster.mostRunning(), left: cluster.running() }).toEqual({ most: 16, left: 0 });
    expect(cluster.started).toHaveLength(50);
  });
});

describe('versions that differ', () => {
  const of = (version: string): World =>
    machine('node-a', { '/v1/status': status({ version }) }, { version });
  const pods = [runningPod('node-a')];

  it.each([
    ['0.1.7', ''],
    ['0.2.0', ''],
    ['0.3.0', 'node node-a runs mesh-ebpf 0.3.0, this program is 0.1.0: something may be lacking\n'],
    ['1.1.0', 'node node-a runs mesh-ebpf 1.1.0, this program is 0.1.0: something may be lacking\n'],
  ])('are told when more than a minor version is between them: %s', async (version, says) => {
    const { code, err } = await fromLaptop('status', { pods, machines: { 'node-a': of(version) } });
    expect({ code, err }).toEqual({ code: 0, err: says });
  });
});

describe('mesh-ebpf connections --follow, from outside the cluster', () => {
  it('keeps one program a node open while it follows, and ends it with Ctrl-C', async () => {
    const interrupt = new AbortController();
    let polls = 0;
    const answer = (): object => {
      polls += 1;
      return {
        node: 'node-a',
        ...document('ConnectionList', { live: [], recent: [connection(`c-${polls}`)], last: polls, lost: 0 }),
      };
    };
    const cluster = fakeCluster({
      pods: [runningPod('node-a')],
      machines: { 'node-a': machine('node-a', { '/v1/connections': answer as never }) },
    });
    const clock = {
      now: () => 0,
      random: () => 0,
      after: (_delay: number, callback: () => void) => {
        if (polls >= 5) interrupt.abort();
        else queueMicrotask(callback);
        return () => {};
      },
    };
    const { code, out } = await run('connections -f -o name', {
      cluster: () => cluster,
      env: { clock, interrupted: interrupt.signal },
    });
    expect(code).toBe(0);
    expect(out.trim().split('\n')).toHaveLength(4);
    // One to find out what is there, one to follow.
    expect(cluster.started).toHaveLength(2);
    expect(cluster.running()).toBe(0);
  });
});

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
