import { describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../src/base/errors.ts';
import type { CliEnv, DatapathAccess } from '../../../src/cli/env.ts';
import type { MapSummary } from '../../../src/datapath/inspect/maps.ts';
import type { AttachedProgram } from '../../../src/datapath/inspect/programs.ts';
import type { Feature } from '../../../src/datapath/probe.ts';
import { status } from './documents.ts';
import { labNode, noDatapath, run, type Run, type World } from './harness.ts';

const rootOf = (node: string): string => `/sys/fs/bpf/mesh-ebpf-lab/${node}`;

const map = (name: string, extra: Partial<MapSummary> = {}): MapSummary => ({
  name,
  purpose: `what ${name} is for`,
  type: 'hash',
  entries: 42,
  capacity: 1024,
  whenFull: 'something stops',
  pinned: true,
  nearlyFull: false,
  ...extra,
});

const program = (name: string, extra: Partial<AttachedProgram> = {}): AttachedProgram => ({
  program: name,
  attachPoint: 'cgroup/connect4',
  purpose: 'captures',
  attached: true,
  target: 'cgroup 1',
  tag: '0123456789abcdef',
  runs: 12n,
  averageNs: 310,
  ...extra,
});

const pods = [
  { netnsCookie: '7', podId: 1, pod: 'shop/web-1', ip4: '10.0.0.5' },
  { netnsCookie: '8', podId: 2, pod: 'shop/cart-1', ip4: '10.0.0.6' },
];

function world(
  datapath: Partial<DatapathAccess>,
  nodes: readonly string[] = ['node-a'],
  extra: World = {},
): World {
  const files = Object.fromEntries(nodes.map((node) => [`${rootOf(node)}/maps/pods`, '']));
  const env: Partial<CliEnv> = {
    datapath: {
      ...noDatapath,
      maps: () => [map('pods')],
      dump: () => pods,
      programs: () => [program('mesh_connect4')],
      ...datapath,
    },
    ...extra.env,
  };
  return { ...extra, files: { ...files, ...extra.files }, env };
}

const broken = (root: string): never[] => {
  if (root === rootOf('node-b')) throw new MeshError('BPF_LOAD', 'it is broken');
  return [];
};

describe.each([['maps list'], ['maps dump pods'], ['maps get pods shop/web-1'], ['programs']])(
  'mesh-ebpf %s',
  (line) => {
    it.each(['table', 'wide', 'json', 'yaml'])('works without any node running, as %s', async (format) => {
      const { code, out, requests } = await run(`${line} -o ${format}`, world({}));
      expect({ code, requests }).toEqual({ code: 0, requests: [] });
      expect(out).not.toBe('');
    });

    it('reads every node of the machine, and lists the one it cannot read', async () => {
      const all: Partial<DatapathAccess> = {
        maps: (root) => [...broken(root), map('pods')],
        dump: (root) => [...broken(root), ...pods],
        programs: (root) => [...broken(root), program('mesh_connect4')],
      };
      const { code, out, err } = await run(line, world(all, ['node-a', 'node-b']));
      expect(code).toBe(3);
      expect(out).not.toBe('');
      expect(err).toMatch(/not reached: node node-b: it is broken/);
    });

    it('says that nothing is captured when nothing is pinned', async () => {
      const { code, err } = await run(line, world({}, []));
      expect(code).toBe(3);
      expect(err).toMatch(/no BPF object of the mesh is pinned/);
    });

    it('takes one node with --node or --pin-root', async () => {
      const asked: string[] = [];
      const note = (root: string): void => void asked.push(root);
      const all: Partial<DatapathAccess> = {
        maps: (root) => (note(root), [map('pods')]),
        dump: (root) => (note(root), pods),
        programs: (root) => (note(root), [program('mesh_connect4')]),
      };
      await run(`${line} --node node-b`, world(all, ['node-a', 'node-b']));
      await run(`${line} --pin-root /x/y`, world(all, ['node-a', 'node-b']));
      expect(asked).toEqual([rootOf('node-b'), '/x/y']);
      expect((await run(`${line} --node node-z`, world(all, ['node-a']))).err).toMatch(/nodes: node-a/);
    });
  },
);

describe('mesh-ebpf maps', () => {
  it('shows how full each map is, and makes a nearly full one a finding', async () => {
    const full = map('flows', { entries: 61_210, capacity: 65_536, nearlyFull: true });
    const { code, out } = await run('maps list', world({ maps: () => [map('pods'), full] }));
    expect(code).toBe(1);
    expect(out).toMatch(/pods +node-a +hash +42\/1024 +4% +what pods is for/);
    expect(out).toMatch(/flows .* 93%!/);
  });

  it('makes a map that should be pinned and is not a finding', async () => {
    const gone = map('flows', { pinned: false, entries: undefined, capacity: undefined });
    const { code, out } = await run('maps list', world({ maps: () => [gone] }));
    expect(code).toBe(1);
    expect(out).toMatch(/flows.*NOT PINNED/);
  });

  it('dumps entries under readable headings, and filters by any column', async () => {
    const all = await run('maps dump pods', world({}));
    expect(all.out).toMatch(/^NETNS COOKIE +POD ID +POD +IP4/);
    const some = await run('maps dump pods --where POD=shop/cart-1', world({}));
    expect(some.out.trim().split('\n')).toHaveLength(2);
    expect(some.out).toMatch(/shop\/cart-1/);
  });

  it('names the columns when asked for one that is not there', async () => {
    const { code, err } = await run('maps dump pods --where colour=red', world({}));
    expect(code).toBe(2);
    expect(err).toMatch(/no column "colour"\n.*netnsCookie, podId, pod, ip4/);
  });

  it('finds an entry by address, name or id, and exits 1 when there is none', async () => {
    for (const key of ['10.0.0.6', 'shop/cart-1', '2']) {
      expect((await run(`maps get pods ${key}`, world({}))).out).toMatch(/shop\/cart-1/);
    }
    const none = await run('maps get pods 10.9.9.9', world({}));
    expect(none).toMatchObject({ code: 1, out: '' });
    expect(none.err).toMatch(/no such entry/);
  });

  it('tells an empty map from an entry that is not there', async () => {
    expect((await run('maps dump pods', world({ dump: () => [] }))).err).toMatch(/pods is empty/);
    expect((await run('maps get pods nobody', world({}))).err).toMatch(/no such entry in pods, of 2/);
  });

  it.each(['maps dump podz', 'maps dump', 'maps get pods', 'maps dump pods --where x', 'maps'])(
    'refuses "%s" before reading anything',
    async (line) => {
      const { code, out } = await run(
        line,
        world({
          dump: () => {
            throw new Error('read');
          },
        }),
      );
      expect({ code, out }).toEqual({ code: 2, out: '' });
    },
  );

  it('guesses what map was meant', async () => {
    expect((await run('maps dump destination', world({}))).err).toMatch(/Did you mean destinations/);
  });
});

describe('mesh-ebpf programs', () => {
  const inPods = [1, 2, 3].map((n) =>
    program('mesh_sk_lookup', { attachPoint: 'sk_lookup', target: `shop/web-${n}`, attached: n !== 2 }),
  );

  it('sums up the pods of the inbound program, names those that lack it, and exits 1', async () => {
    const { code, out } = await run(
      'programs',
      world({ programs: () => [program('mesh_connect4'), ...inPods] }),
    );
    expect(code).toBe(1);
    expect(out).toMatch(/mesh_connect4 +node-a +cgroup\/connect4 +yes +12 +310 ns/);
    expect(out).toMatch(/mesh_sk_lookup +node-a +sk_lookup +2\/3, not shop\/web-2/);
  });

  it('shows one row a place when asked for wide', async () => {
    const { out } = await run('programs -o wide', world({ programs: () => inPods }));
    expect(out.trim().split('\n')).toHaveLength(4);
    expect(out).toMatch(/shop\/web-3/);
  });

  it('prints 64-bit counts as json', async () => {
    const { out } = await run(
      'programs -o json',
      world({ programs: () => [program('p', { runs: 2n ** 63n })] }),
    );
    expect(JSON.parse(out)).toMatchObject({ items: [{ runs: '9223372036854775808' }] });
  });

  it('says how to count runs when the kernel does not', async () => {
    const { err } = await run(
      'programs',
      world({ programs: () => [program('p', { runs: 0n, averageNs: undefined })] }),
    );
    expect(err).toMatch(/kernel\.bpf_stats_enabled=1/);
  });
});

const feature = (name: string, extra: Partial<Feature> = {}): Feature => ({
  name,
  since: '5.9',
  found: true,
  required: true,
  without: 'no inbound capture',
  ...extra,
});

const healthyFiles = {
  '/proc/mounts': 'cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\nbpf /sys/fs/bpf bpf rw 0 0\n',
  '/proc/sys/net/core/bpf_jit_enable': '1\n',
  '/proc/sys/net/ipv4/ip_forward': '1\n',
  '/proc/sys/net/ipv6/conf/all/disable_ipv6': '0\n',
  ...Object.fromEntries(
    ['ip', 'nsenter', 'sysctl', 'nft', 'tcpdump'].map((tool) => [`/usr/bin/${tool}`, '']),
  ),
};

const diagnose = async (
  change: World = {},
  features: readonly Feature[] = [feature('sk_lookup')],
): Promise<Run> =>
  await run('doctor', {
    ...change,
    files: { ...healthyFiles, ...change.files },
    env: { datapath: { ...noDatapath, features: () => Promise.resolve(features) }, ...change.env },
  });

describe('mesh-ebpf doctor', () => {
  it('exits 0 on a machine that has everything, with or without nodes', async () => {
    const bare = await diagnose();
    expect(bare).toMatchObject({ code: 0, err: '' });
    expect(bare.out).toMatch(/ok +sk_lookup +works/);
    expect(bare.out).toMatch(/ok +cgroup v2 +mounted at \/sys\/fs\/cgroup\/unified/);
    const withNode = await diagnose({ nodes: [labNode('node-a', { '/v1/status': status() })] });
    expect(withNode.code).toBe(0);
    expect(withNode.out).toMatch(/ok +node node-a +2\/2 labelled pods enrolled/);
  });

  it('says what a missing feature costs, and tells a nuisance from a failure', async () => {
    const failed = await diagnose({}, [feature('sk_lookup', { found: false })]);
    expect(failed.code).toBe(1);
    expect(failed.out).toMatch(
      /FAIL +sk_lookup +missing \(Linux 5\.9 has it\)\n +cost: no inbound capture\n +next:/,
    );
    const nuisance = await diagnose({}, [feature('SO_NETNS_COOKIE', { found: false, required: false })]);
    expect(nuisance.code).toBe(0);
    expect(nuisance.out).toMatch(/warn +SO_NETNS_COOKIE/);
  });

  it.each([
    ['cgroup v2', { '/proc/mounts': 'bpf /sys/fs/bpf bpf rw 0 0' }, /FAIL +cgroup v2 +not mounted/, 1],
    [
      'the BPF file system',
      { '/proc/mounts': 'c /cg cgroup2 rw 0 0' },
      /FAIL +BPF file system.*\n.*\n.*mount -t bpf/,
      1,
    ],
    [
      'the JIT',
      { '/proc/sys/net/core/bpf_jit_enable': '0\n' },
      /warn +net\.core\.bpf_jit_enable +0\n.*slower\n.*sysctl -w/,
      0,
    ],
  ])('notices the absence of %s', async (_what, files, says, code) => {
    const ran = await diagnose({ files });
    expect(ran.out).toMatch(says);
    expect(ran.code).toBe(code);
  });

  it('notices tools that are missing, and which package has them', async () => {
    const ran = await run('doctor', {
      files: { '/proc/mounts': healthyFiles['/proc/mounts'] },
      env: { datapath: { ...noDatapath, features: () => Promise.resolve([]) } },
    });
    expect(ran.code).toBe(1);
    expect(ran.out).toMatch(/FAIL +ip +not in PATH\n.*cost:.*\n.*apt-get install iproute2/);
  });

  it('does not judge what it could not find out', async () => {
    const unprivileged = await diagnose({ env: { uid: 1000, datapath: noDatapath } });
    expect(unprivileged.code).toBe(3);
    expect(unprivileged.out).toMatch(/\? +kernel features +the native addon is not built/);
    expect(unprivileged.out).toMatch(/\? +privileges +user 1000/);
  });

  it('refuses kernels that are too old', async () => {
    const platform = { node: '24.0.0', kernel: '5.4.0-42-generic', machine: 'x64' };
    expect((await diagnose({ env: { platform, datapath: noDatapath } })).out).toMatch(
      /FAIL +kernel +5\.4\.0/,
    );
  });

  it('finds programs in force that no agent looks after', async () => {
    const orphaned = await diagnose({ files: { ...healthyFiles, [`${rootOf('node-a')}/maps/pods`]: '' } });
    expect(orphaned.code).toBe(1);
    expect(orphaned.out).toMatch(/FAIL +nodes.*programs are in force.*\n.*refused\n.*mesh-ebpf uninstall/);
  });

  it('passes on the problems of each node, and names the node that does not answer', async () => {
    const problem = {
      code: 'NETNS',
      subject: 'pod shop/x',
      message: 'not enrolled',
      hint: 'delete it',
      since: null,
    } as const;
    const nodes = [
      labNode('node-a', { '/v1/status': status({ problems: [problem] }) }),
      labNode('node-b', {}),
    ];
    const { code, out } = await diagnose({ nodes });
    expect(code).toBe(3);
    expect(out).toMatch(/FAIL +node node-a +pod shop\/x: not enrolled\n +next: delete it/);
    expect(out).toMatch(/\? +node node-b +nobody listens/);
  });

  it.each(['json', 'yaml'])('has the same exit status as %s', async (format) => {
    const ran = await run(`doctor -o ${format}`, {
      files: healthyFiles,
      env: { datapath: { ...noDatapath, features: () => Promise.resolve([feature('x', { found: false })]) } },
    });
    expect(ran.code).toBe(1);
    expect(ran.out).toMatch(/CheckList/);
  });
});

const guarded = new MeshError('ALREADY_EXISTS', 'another process is in charge', { hint: 'stop it' });

interface Machine {
  readonly world: World;
  readonly removed: string[];
}

function machine(
  options: { readonly left?: readonly string[]; readonly answer?: string; readonly locked?: boolean } = {},
): Machine {
  const removed: string[] = [];
  const datapath: Partial<DatapathAccess> = {
    uninstall: (root) => {
      if (options.locked === true) throw guarded;
      removed.push(root);
      return 9;
    },
    installed: () => [{ kind: 'program', name: 'mesh_connect4 (5)' }],
    leftovers: (_root, of) => {
      const left = (options.left ?? []).map((name) => ({ kind: 'program' as const, name }));
      return Promise.resolve(left.filter(({ name }) => of?.some((own) => own.name === name) ?? true));
    },
  };
  const cleaner = {
    name: 'rules and routes of pods',
    find: () => Promise.resolve(removed.includes('rules') ? [] : ['rule in pod shop/web-1']),
    remove: () => {
      removed.push('rules');
      return Promise.resolve();
    },
  };
  const env = { cleaners: [cleaner], ask: () => Promise.resolve(options.answer) };
  return { removed, world: world(datapath, ['node-a', 'node-b'], { env }) };
}

const nothingLeft = (): Promise<never[]> => Promise.resolve([]);

describe('mesh-ebpf uninstall', () => {
  it('removes every node’s pins and everything else, and proves it', async () => {
    const { world: here, removed } = machine();
    const { code, out } = await run('uninstall --verify', here);
    expect(code).toBe(0);
    expect(removed).toEqual([rootOf('node-a'), rootOf('node-b'), 'rules']);
    expect(out).toMatch(/clean: the kernel has nothing/);
  });

  it('names what is left and exits 1', async () => {
    const { code, out } = await run('uninstall --verify', machine({ left: ['mesh_connect4 (17)'] }).world);
    expect(code).toBe(1);
    expect(out).toMatch(/LEFT: 1 thing\n +program mesh_connect4 \(17\)/);
  });

  it('removes nothing with --dry-run', async () => {
    const { world: here, removed } = machine();
    const { code, out } = await run('uninstall --dry-run', here);
    expect({ code, removed }).toEqual({ code: 0, removed: [] });
    expect(out).toMatch(/would remove +BPF programs and maps pinned in .*node-a/);
    expect(out).toMatch(/would remove +rule in pod shop\/web-1/);
  });

  it.each([
    ['n', 0],
    ['', 0],
    ['y', 3],
    [undefined, 3],
  ])('asks a person first: "%s" removes %i things', async (answer, count) => {
    const { world: here, removed } = machine(answer === undefined ? {} : { answer });
    await run('uninstall', here);
    expect(removed).toHaveLength(count);
  });

  it('does not ask with -y', async () => {
    const { world: here, removed } = machine({ answer: 'n' });
    await run('uninstall -y', here);
    expect(removed).toHaveLength(3);
  });

  it('leaves the rules in pods to a running node that guards its pins, says so, and exits 3', async () => {
    const { world: here, removed } = machine({ locked: true });
    const { code, out, err } = await run('uninstall', here);
    expect({ code, removed }).toEqual({ code: 3, removed: [] });
    expect(out).toMatch(/NOT removed +rules and routes of pods/);
    expect(err).toMatch(/another process is in charge[\s\S]*next: stop it/);
  });

  it('takes only one node with --pin-root, and does not call the other’s programs leftovers', async () => {
    const { world: here, removed } = machine({ left: ['mesh_connect4 (17)'] });
    const { code } = await run(`uninstall --verify --pin-root ${rootOf('node-a')}`, here);
    expect(code).toBe(0);
    // The rules in pods are still needed by the other node.
    expect(removed).toEqual([rootOf('node-a')]);
  });

  it('notices what is left of that one node', async () => {
    const { world: here } = machine({ left: ['mesh_connect4 (5)', 'mesh_connect4 (17)'] });
    const { code, out } = await run(`uninstall --verify --pin-root ${rootOf('node-a')}`, here);
    expect(code).toBe(1);
    expect(out).toMatch(/LEFT: 1 thing\n +program mesh_connect4 \(5\)/);
  });

  it('is content when nothing is installed', async () => {
    const { code, out } = await run('uninstall --verify', world({ leftovers: nothingLeft }, []));
    expect(code).toBe(0);
    expect(out).toMatch(/nothing is installed\nclean/);
  });
});
