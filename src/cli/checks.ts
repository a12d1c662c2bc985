/** The checks of `doctor`: each finds out one thing about this machine and says what its absence costs. */
import { asMeshError } from '../base/errors.ts';
import { cgroup2Mount, mountPoints } from '../base/mounts.ts';
import type { Feature } from '../datapath/probe.ts';
import type { CliEnv } from './env.ts';

export interface Check {
  readonly name: string;
  /** `ok`; `warning`: works without, at a cost; `failed`: the mesh does not work; `unknown`: could not be found out. */
  readonly result: 'ok' | 'warning' | 'failed' | 'unknown';
  /** What was found. */
  readonly found: string;
  /** What its absence costs; null when ok. */
  readonly cost: string | null;
  readonly next: string | null;
}

const ok = (name: string, found: string): Check => ({ name, result: 'ok', found, cost: null, next: null });

/** Where the mesh is to run: on a machine, perhaps as a lab, or in the container that is a cluster's node program. */
export type CheckedPlace = 'machine' | 'node';

/** Everything about the machine itself; the nodes are asked by `doctor`. */
export async function hostChecks(env: CliEnv, place: CheckedPlace): Promise<readonly Check[]> {
  const mounts = await env.files.readText('/proc/mounts').catch(() => '');
  return [
    checkRoot(env),
    checkKernel(env),
    checkMount(cgroup2Mount(mounts), cgroupMount),
    checkMount(
      mountPoints(mounts, 'bpf').find((point) => point === bpffs),
      bpfMount,
    ),
    ...(await checkFeatures(env, cgroup2Mount(mounts))),
    ...(await Promise.all(sysctls.map((sysctl) => checkSysctl(env, sysctl)))),
    ...(await Promise.all(toolsFor(place).map((tool) => checkTool(env, tool)))),
  ];
}

const bpffs = '/sys/fs/bpf';

function checkRoot({ uid }: CliEnv): Check {
  if (uid === 0) return ok('privileges', 'root');
  return {
    name: 'privileges',
    result: 'unknown',
    found: `user ${uid}`,
    cost: 'the kernel cannot be asked about BPF',
    next: 'run the command with sudo',
  };
}

const oldestKernel = [5, 10] as const;

function checkKernel({ platform }: CliEnv): Check {
  const [major = 0, minor = 0] = platform.kernel.split('.').map(Number);
  const old = major < oldestKernel[0] || (major === oldestKernel[0] && minor < oldestKernel[1]);
  if (!old) return ok('kernel', platform.kernel);
  return {
    name: 'kernel',
    result: 'failed',
    found: platform.kernel,
    cost: `the mesh needs Linux ${oldestKernel.join('.')}`,
    next: 'boot a newer kernel',
  };
}

interface MountCheck {
  readonly name: string;
  readonly cost: string;
  readonly next: string;
}

const cgroupMount: MountCheck = {
  name: 'cgroup v2',
  cost: 'programs cannot be attached: nothing is captured',
  next: 'mount -t cgroup2 none /sys/fs/cgroup/unified',
};

const bpfMount: MountCheck = {
  name: 'BPF file system',
  cost: 'nothing can be pinned: enforcement would end with the agent',
  next: `mount -t bpf bpf ${bpffs}`,
};

function checkMount(path: string | undefined, { name, cost, next }: MountCheck): Check {
  if (path !== undefined) return ok(name, `mounted at ${path}`);
  return { name, result: 'failed', found: 'not mounted', cost, next };
}

async function checkFeatures(env: CliEnv, root: string | undefined): Promise<readonly Check[]> {
  try {
    const features = await env.datapath.features({ cgroupRoot: root ?? '', bpffs });
    return features.filter(({ name }) => !checkedAsMounts.has(name)).map(featureCheck);
  } catch (thrown) {
    const { message, hint } = asMeshError(thrown);
    return [{ name: 'kernel features', result: 'unknown', found: message, cost: null, next: hint ?? null }];
  }
}

const checkedAsMounts = new Set([cgroupMount.name, bpfMount.name]);

function featureCheck({ name, since, found, required, without, detail }: Feature): Check {
  if (found) return ok(name, detail ?? 'works');
  return {
    name,
    result: required ? 'failed' : 'warning',
    found: detail ?? `missing (Linux ${since} has it)`,
    cost: without,
    next: required ? 'use a newer kernel, or one built with it' : null,
  };
}

interface Sysctl {
  readonly name: string;
  readonly good: readonly string[];
  readonly cost: string;
}

const sysctls: readonly Sysctl[] = [
  {
    name: 'net.core.bpf_jit_enable',
    good: ['1', '2'],
    cost: 'BPF programs run in the interpreter: each connect is slower',
  },
  {
    name: 'net.ipv4.ip_forward',
    good: ['1'],
    cost: 'on a Kubernetes node, pods cannot reach other nodes (the lab does not need it)',
  },
  { name: 'net.ipv6.conf.all.disable_ipv6', good: ['0'], cost: 'pods have no IPv6' },
];

async function checkSysctl({ files }: CliEnv, { name, good, cost }: Sysctl): Promise<Check> {
  const value = await files.readText(`/proc/sys/${name.replaceAll('.', '/')}`).then(
    (text) => text.trim(),
    () => undefined,
  );
  const [wanted = ''] = good;
  if (value !== undefined && good.includes(value)) return ok(name, value);
  return { name, result: 'warning', found: value ?? 'absent', cost, next: `sysctl -w ${name}=${wanted}` };
}

interface Tool {
  readonly name: string;
  readonly result: 'warning' | 'failed';
  readonly cost: string;
  readonly debian: string;
  /** Only the lab and the demo use it. */
  readonly lab?: true;
}

const tools: readonly Tool[] = [
  {
    name: 'ip',
    result: 'failed',
    cost: 'pods cannot be enrolled: their rules and routes need it',
    debian: 'iproute2',
  },
  {
    name: 'nsenter',
    result: 'failed',
    cost: 'pods cannot be enrolled: their namespaces cannot be entered',
    debian: 'util-linux',
  },
  {
    name: 'sysctl',
    result: 'failed',
    cost: 'pods cannot be enrolled: their kernel settings need it',
    debian: 'procps',
  },
  {
    name: 'nft',
    result: 'warning',
    cost: 'the lab’s unmeshed pods cannot reach Services',
    debian: 'nftables',
    lab: true,
  },
  {
    name: 'tcpdump',
    result: 'warning',
    cost: 'the demo cannot prove what is encrypted',
    debian: 'tcpdump',
    lab: true,
  },
];

const toolsFor = (place: CheckedPlace): readonly Tool[] =>
  place === 'machine' ? tools : tools.filter(({ lab }) => lab !== true);

async function checkTool({ files, path }: CliEnv, { name, result, cost, debian }: Tool): Promise<Check> {
  for (const directory of path) {
    if (await files.exists(`${directory}/${name}`)) return ok(name, `${directory}/${name}`);
  }
  return { name, result, found: 'not in PATH', cost, next: `apt-get install ${debian}` };
}
