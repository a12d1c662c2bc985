/**
 * What this kernel can do of what the data path uses: asked of the kernel feature by feature, never inferred from
 * its version. Called by `doctor`.
 */
import type { NativeBinding } from '../native/binding.ts';
import { isOnFileSystem } from './file-system.ts';
import { mapTypes } from './maps.ts';

export interface Feature {
  readonly name: string;
  /** First Linux release that has it. */
  readonly since: string;
  readonly found: boolean;
  /** More about it than that. */
  readonly detail?: string;
  /** Without it the mesh cannot run here. */
  readonly required: boolean;
  /** What does not work without it, or how it is done instead. */
  readonly without: string;
}

export interface ProbedPlaces {
  readonly cgroupRoot: string;
  /** Where the pins are to be: a mounted BPF file system. */
  readonly bpffs: string;
}

interface Probe extends Omit<Feature, 'found' | 'detail'> {
  readonly find: (native: NativeBinding, places: ProbedPlaces) => boolean | Promise<boolean>;
}

/** Numbers of <linux/bpf.h>: `enum bpf_prog_type`, `enum bpf_attach_type`, helper functions. */
const connect = [18, 10] as const;
const getpeername = [18, 29] as const;
const sendmsg = [18, 14] as const;
const sockOps = [13, 3] as const;
const skLookup = [30, 36] as const;
const helper = {
  currentCgroupId: 80,
  socketStorageGet: 107,
  netnsCookie: 122,
  socketAssign: 124,
  coarseTime: 160,
} as const;

const probes: readonly Probe[] = [
  {
    name: 'cgroup v2',
    since: '4.5',
    required: true,
    without: 'programs cannot be attached',
    find: (_, { cgroupRoot }) => isOnFileSystem('cgroup2', cgroupRoot),
  },
  {
    name: 'BPF file system',
    since: '4.4',
    required: true,
    without: 'enforcement would end with the agent',
    find: (_, { bpffs }) => isOnFileSystem('bpf', bpffs),
  },
  {
    name: 'cgroup/connect programs',
    since: '4.17',
    required: true,
    without: 'no capture',
    find: (native) => native.probeProgramType(...connect),
  },
  {
    name: 'cgroup/sendmsg programs',
    since: '4.18',
    required: true,
    without: 'datagrams cannot be refused',
    find: (native) => native.probeProgramType(...sendmsg),
  },
  {
    name: 'longest-prefix maps and ring buffers',
    since: '5.8',
    required: true,
    without: 'what may leave the mesh cannot be told, nor what was refused',
    find: (native) => native.probeMapType(mapTypes.lpm_trie) && native.probeMapType(mapTypes.ringbuf),
  },
  {
    name: 'cgroup/getpeername programs',
    since: '5.8',
    required: true,
    without: 'applications see ztunnel’s address as their peer’s',
    find: (native) => native.probeProgramType(...getpeername),
  },
  {
    name: 'sock_ops programs',
    since: '4.13',
    required: true,
    without: 'original destinations cannot be known',
    find: (native) => native.probeProgramType(...sockOps),
  },
  {
    name: 'sk_lookup programs',
    since: '5.9',
    required: true,
    without: 'inbound connections are not captured',
    find: (native) => native.probeProgramType(...skLookup),
  },
  {
    name: 'network namespace cookie in connect programs',
    since: '5.7',
    required: true,
    without: 'pods cannot be told apart',
    find: (native) => native.probeHelper(...connect, helper.netnsCookie),
  },
  {
    name: 'cgroup id in connect programs',
    since: '5.7',
    required: true,
    without: 'ztunnel cannot be told from pods',
    find: (native) => native.probeHelper(...connect, helper.currentCgroupId),
  },
  {
    name: 'socket storage in connect programs',
    since: '5.8',
    required: true,
    without: 'original destinations cannot be known',
    find: (native) =>
      native.probeMapType(mapTypes.sk_storage) && native.probeHelper(...connect, helper.socketStorageGet),
  },
  {
    name: 'choosing a listener in sk_lookup programs',
    since: '5.9',
    required: true,
    without: 'inbound connections are not captured',
    find: (native) =>
      native.probeMapType(mapTypes.sockhash) && native.probeHelper(...skLookup, helper.socketAssign),
  },
  {
    name: 'BPF memory charged to cgroups',
    since: '5.11',
    required: false,
    without:
      'it counts against RLIMIT_MEMLOCK: a node program in a container needs SYS_RESOURCE (install --set node.liftMemlock=true)',
    // Nothing tells of it; this helper came with the same release, and libbpf asks for it for the same reason.
    find: (native) => native.probeHelper(...connect, helper.coarseTime),
  },
  {
    name: 'ending pods’ connections (INET_DIAG_DESTROY)',
    since: '4.5, where it is built in',
    required: false,
    without: 'pods of one node reach each other through ztunnel only, whatever --same-node says',
    find: (native) => native.probeSocketDestroy(),
  },
  {
    name: 'SO_NETNS_COOKIE',
    since: '5.14',
    required: false,
    without: 'cookies are learnt through the mesh’s own connect program',
    find: async (native) => (await native.netnsCookie('/proc/self/ns/net')) !== null,
  },
];

/** @throws MeshError PERMISSION without the right to load programs */
export function probeFeatures(native: NativeBinding, places: ProbedPlaces): Promise<Feature[]> {
  return Promise.all(
    probes.map(async ({ find, ...feature }) => ({ ...feature, found: await find(native, places) })),
  );
}
