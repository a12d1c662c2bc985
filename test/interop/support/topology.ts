/**
 * The machinery's ground: a namespace for a node of ours with one pod behind it, and namespaces for peers that are
 * not ours, all routed through the node's. Knows nothing of meshes; removes all it made.
 *
 *   pod web 10.91.1.5 ── node 10.91.0.1 ── peer 10.91.2.N
 */
import { mkdirSync, mkdtempSync, rmdirSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cgroup2Root } from '../../../src/apps/node/host-facts.ts';
import { type Command, type Place, Process, sh, waitFor } from './processes.ts';

const bpffs = '/sys/fs/bpf';
const bpffsMagic = 0xcafe4a11;

/** Where the node is reached: by its pod and by the peers. */
export const nodeIp = '10.91.0.1';

export interface Member extends Place {
  readonly name: string;
  readonly ip: string;
}

export class Topology {
  readonly directory: string;
  readonly pinRoot: string;
  /** What the node program captures below. */
  readonly cgroupRoot: string;
  readonly #prefix = `mebpf-iop-${process.pid}`;
  readonly #base: string;
  readonly #cgroups: string[] = [];
  readonly #namespaces: string[] = [];
  readonly #processes: Process[] = [];

  constructor() {
    assertBpffs();
    this.#base = join(cgroup2Root(), this.#prefix);
    this.directory = mkdtempSync(join(tmpdir(), `${this.#prefix}-`));
    this.pinRoot = join(bpffs, 'mebpf-iop', String(process.pid));
    this.cgroupRoot = join(this.#base, 'node');
    mkdirSync(join(bpffs, 'mebpf-iop'), { recursive: true });
    this.#makeCgroup(this.#base);
    this.#makeCgroup(this.cgroupRoot);
    this.#addNetns('node');
    sh(`
      ip -n ${this.#name('node')} addr add ${nodeIp}/32 dev lo
      ip netns exec ${this.#name('node')} sysctl -qw net.ipv4.ip_forward=1`);
  }

  /** In the node's namespace, in a cgroup of its own. */
  onNode(cgroup: string): Place {
    return { netns: this.#path('node'), cgroup: this.#makeCgroup(join(this.cgroupRoot, cgroup)) };
  }

  /** A pod of the node: its cgroup is named as a kubelet would, and holds a process as every pod's does. */
  addPod(name: string, ip: string, uid: string): Member {
    const pod = this.#addMember(name, ip, join(this.cgroupRoot, `pod${uid}`));
    this.start(`${name}-pause`, pod, ['sleep', 'infinity']);
    return pod;
  }

  /** A machine that runs nothing of ours; IPs from 10.91.2.0/24. */
  addPeer(name: string, ip: string): Member {
    return this.#addMember(name, ip, join(this.#base, `peer-${name}`));
  }

  start(
    name: string,
    place: Place,
    argv: readonly string[],
    environment: Command['environment'] = {},
  ): Process {
    const started = new Process({ place, argv, environment, output: join(this.directory, `${name}.log`) });
    this.#processes.push(started);
    return started;
  }

  /** Runs to the end and gives what it printed. @throws when it fails or takes too long. */
  async run(place: Place, argv: readonly string[], timeoutMs = 120_000): Promise<Process> {
    const name = `run-${this.#processes.length}`;
    const ran = this.start(name, place, argv);
    await ran.ended(timeoutMs);
    return ran;
  }

  /** Everything, in reverse; processes by their ids. */
  async close(): Promise<void> {
    for (const started of this.#processes.toReversed()) await started.stop();
    for (const cgroup of this.#cgroups.toReversed()) {
      await waitFor(`${cgroup} to be empty`, () => tryRemove(cgroup), 30_000);
    }
    for (const namespace of this.#namespaces) sh(`ip netns del ${namespace}`);
    rmSync(this.pinRoot, { recursive: true, force: true });
    tryRemove(join(bpffs, 'mebpf-iop'));
    rmSync(this.directory, { recursive: true, force: true });
  }

  #addMember(name: string, ip: string, cgroup: string): Member {
    const [node, inside] = [this.#name('node'), this.#addNetns(name)];
    sh(`
      ip -n ${inside} link add eth0 type veth peer name v-${name} netns ${node}
      ip -n ${node} addr add 169.254.1.1/32 dev v-${name}
      ip -n ${node} link set v-${name} up
      ip -n ${inside} addr add ${ip}/32 dev eth0
      ip -n ${inside} link set eth0 up
      ip -n ${inside} route add 169.254.1.1 dev eth0 scope link
      ip -n ${inside} route add default via 169.254.1.1 src ${ip}
      ip -n ${node} route add ${ip}/32 dev v-${name}`);
    return { name, ip, netns: this.#path(name), cgroup: this.#makeCgroup(cgroup) };
  }

  #addNetns(name: string): string {
    const namespace = this.#name(name);
    sh(`ip netns add ${namespace}; ip -n ${namespace} link set lo up`);
    this.#namespaces.push(namespace);
    return namespace;
  }

  #makeCgroup(path: string): string {
    mkdirSync(path);
    this.#cgroups.push(path);
    return path;
  }

  #name(name: string): string {
    return `${this.#prefix}-${name}`;
  }

  #path(name: string): string {
    return `/run/netns/${this.#name(name)}`;
  }
}

function assertBpffs(): void {
  if (statfsSync(bpffs).type !== bpffsMagic) sh(`mount -t bpf bpf ${bpffs}`);
}

function tryRemove(directory: string): boolean {
  try {
    rmdirSync(directory);
    return true;
  } catch {
    return false;
  }
}
