import { describe, expect, it } from '@jest/globals';
import { programProblems } from '../../../../src/apps/node/source-problem.ts';
import { type ErrorCode, MeshError } from '../../../../src/base/errors.ts';
import type { Feature } from '../../../../src/datapath/probe.ts';
import type { Problem } from '../../../../src/telemetry/admin-api.ts';
import { status } from '../documents.ts';
import { rootOf } from '../fake-kernel.ts';
import { labNode, noDatapath, run, type Run, type World } from '../harness.ts';

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

const problemOf = (code: ErrorCode, of: 'degraded' | 'untried'): readonly Problem[] => {
  const none = { degraded: undefined, untried: undefined };
  return programProblems({ ...none, [of]: new MeshError(code, 'as it is', { hint: 'look' }) });
};
const ask = (problems: readonly Problem[]) =>
  diagnose({ nodes: [labNode('node-a', { '/v1/status': status({ problems: [...problems] }) })] });

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

  it('finds the host’s cgroup v2, not that of a chroot in the same table', async () => {
    const chroot = 'cgroup2 /chroot/sys/fs/cgroup cgroup2 rw 0 0\n';
    const { out } = await diagnose({
      files: { '/proc/mounts': `${chroot}${healthyFiles['/proc/mounts']}` },
    });
    expect(out).toMatch(/ok +cgroup v2 +mounted at \/sys\/fs\/cgroup\/unified/);
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

  it('names the programs in force where they are not this version’s, or were not tried out', async () => {
    const degraded = await ask(problemOf('BPF_SELF_TEST', 'degraded'));
    expect(degraded.code).toBe(1);
    expect(degraded.out).toMatch(
      /FAIL +node node-a +BPF programs: programs of an earlier version stay in force: as/,
    );
    const untried = await ask(problemOf('BPF_UNTRIED', 'untried'));
    expect(untried.code).toBe(0);
    expect(untried.out).toMatch(
      /warn +node node-a +BPF programs: in force all the same.*as it is\n +cost:.*\n +next: look/,
    );
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
