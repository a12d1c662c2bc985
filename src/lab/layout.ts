/**
 * Where everything the lab makes lives, and what it is called: namespaces, links, cgroups, state files. Pure. The
 * common prefix is how `lab down` finds leftovers of a crash; nothing else on the host may use it.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';

export const labPrefix = 'mesh-lab';
export const defaultStateDir = '/run/mesh-ebpf/lab';
export const netnsDir = '/run/netns';
export const bpffs = '/sys/fs/bpf';
/** The lab's pins, one directory a node. */
export const pinRoot = join(bpffs, 'mesh-ebpf-lab');

export const fabricNetns = `${labPrefix}-fabric`;
export const nodeNetns = (node: string): string => `${labPrefix}-${node}`;
export const podNetns = (uid: string): string => `${labPrefix}-p-${shortHash(uid)}`;
export const netnsPath = (name: string): string => join(netnsDir, name);
/** The node's end of a pod's link; 11 characters, the kernel allows 15. */
export const podLink = (uid: string): string => `pod${shortHash(uid)}`;

const shortHash = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 8);

export interface NodePaths {
  readonly dir: string;
  /** The node program's admin socket. */
  readonly adminSocket: string;
  /** Where the keeper of another node program would take over. */
  readonly keeperSocket: string;
  readonly tokenFile: string;
  /** What the kubelet says about itself and the processes it keeps running (`node-report.ts`). */
  readonly report: string;
  readonly kubeletLog: string;
  readonly meshLog: string;
  readonly controllerLog: string;
}

export interface PodPaths {
  readonly dir: string;
  readonly log: string;
  readonly resolvConf: string;
  readonly hosts: string;
  /** The holder process and the command, for `lab exec` (`pod-record.ts`). */
  readonly record: string;
}

export interface LabLayout {
  readonly stateDir: string;
  /** What exists: written before anything is made (`lab-file.ts`). */
  readonly labFile: string;
  /** One YAML file an object: the lab's API server. */
  readonly objects: string;
  /** Half-written files, renamed into `objects`. Same file system, and nobody watches it. */
  readonly staging: string;
  readonly lock: string;
  /** Last address given out on each node (`allocate.ts`). */
  readonly leases: string;
  /** First in every pod's PATH; holds a `mesh-ebpf` that runs this very program. */
  readonly bin: string;
  readonly caDir: string;
  readonly caRoot: string;
  /** Hashes of the nodes' join tokens, for the controller. */
  readonly tokens: string;
  node(name: string): NodePaths;
  pod(namespace: string, name: string): PodPaths;
}

export function labLayout(stateDir: string = defaultStateDir): LabLayout {
  const at = (...parts: string[]): string => join(stateDir, ...parts);
  return {
    stateDir,
    labFile: at('lab.json'),
    objects: at('objects'),
    staging: at('staging'),
    lock: at('lock'),
    leases: at('leases.json'),
    bin: at('bin'),
    caDir: at('ca'),
    caRoot: at('ca', 'ca-root.pem'),
    tokens: at('tokens.json'),
    node: (name) => nodePaths(at('nodes', name)),
    pod: (namespace, name) => podPaths(at('pods', `${namespace}_${name}`)),
  };
}

const nodePaths = (dir: string): NodePaths => ({
  dir,
  adminSocket: join(dir, 'admin.sock'),
  keeperSocket: join(dir, 'keeper.sock'),
  tokenFile: join(dir, 'token'),
  report: join(dir, 'report.json'),
  kubeletLog: join(dir, 'kubelet.log'),
  meshLog: join(dir, 'mesh.log'),
  controllerLog: join(dir, 'controller.log'),
});

const podPaths = (dir: string): PodPaths => ({
  dir,
  log: join(dir, 'log'),
  resolvConf: join(dir, 'resolv.conf'),
  hosts: join(dir, 'hosts'),
  record: join(dir, 'record.json'),
});

export interface NodeCgroups {
  /** The node's own: the mesh's BPF programs are attached here. */
  readonly root: string;
  readonly system: string;
  readonly mesh: string;
  readonly kubepods: string;
  pod(uid: string): string;
}

export const labCgroup = (cgroup2: string): string => join(cgroup2, labPrefix);

export function nodeCgroups(cgroup2: string, node: string): NodeCgroups {
  const root = join(labCgroup(cgroup2), node);
  const kubepods = join(root, 'kubepods');
  return {
    root,
    system: join(root, 'system'),
    mesh: join(root, 'mesh'),
    kubepods,
    pod: (uid) => join(kubepods, `pod${uid}`),
  };
}
