import { describe, expect, it } from '@jest/globals';
import { connection, status } from '../documents.ts';
import { fakeCluster, forbidden, fromLaptop, machine, podOf, runningPod } from '../fake-cluster.ts';
import { document, run, type World } from '../harness.ts';

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
  'verdicts',
];

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

const machineOf = (version: string): World =>
  machine('node-a', { '/v1/status': status({ version }) }, { version });

describe('versions that differ', () => {
  const pods = [runningPod('node-a')];

  it.each([
    ['0.1.7', ''],
    ['0.2.0', ''],
    ['0.3.0', 'node node-a runs mesh-ebpf 0.3.0, this program is 0.1.0: something may be lacking\n'],
    ['1.1.0', 'node node-a runs mesh-ebpf 1.1.0, this program is 0.1.0: something may be lacking\n'],
  ])('are told when more than a minor version is between them: %s', async (version, says) => {
    const { code, err } = await fromLaptop('status', { pods, machines: { 'node-a': machineOf(version) } });
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
