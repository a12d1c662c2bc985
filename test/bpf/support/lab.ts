/**
 * A node in miniature for tests of the BPF programs: a network namespace for the node with a bridge, one for each
 * pod behind it, and a scratch cgroup with this process (as ztunnel), the host's processes and the pods in places of
 * their own. Needs root, a cgroup v2 mount and a BPF file system; says so if one is missing.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cgroup2Root, ownCgroup } from '../../../src/apps/node/host-facts.ts';
import { parseIp, type IpAddress } from '../../../src/base/ip.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { type Datapath, type DatapathOptions, openDatapath } from '../../../src/datapath/datapath.ts';
import type { PinKind } from '../../../src/datapath/pins.ts';
import { uninstallDatapath } from '../../../src/datapath/uninstall.ts';
import { killCgroup, removeCgroup } from '../../../src/lab/system/cgroup.ts';
import type { WorkloadUid } from '../../../src/model/mesh.ts';
import type { Fd, NativeBinding } from '../../../src/native/binding.ts';
import { loadNative } from '../../../src/native/load.ts';
import { type Place, ScriptRunner } from './script-runner.ts';

export const native: NativeBinding = loadNative();
export const objectPath = new URL('../../../build/bpf/mesh.bpf.o', import.meta.url).pathname;

const prefix = 'mebpf-bpf';
const bpffs = '/sys/fs/bpf';

export interface LabPod extends Place {
  readonly name: string;
  readonly uid: WorkloadUid;
  readonly ip4: IpAddress;
  readonly ip6: IpAddress;
}

/** Runs a shell line and returns what it prints. */
export const sh = (line: string): string => execFileSync('/bin/sh', ['-ec', line], { encoding: 'utf8' });

export class Lab {
  readonly pinRoot = `${bpffs}/${prefix}-${process.pid}`;
  readonly cgroupRoot: string;
  readonly ztunnelCgroup: string;
  readonly hostCgroup: string;
  readonly nodeNetns: string;
  readonly #pods: LabPod[] = [];
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #plaintextListeners = new Map<WorkloadUid, Fd>();
  readonly #directories: string[] = [];
  readonly #homeCgroup = ownCgroup();
  readonly #scripts = new ScriptRunner(this.#homeCgroup);

  constructor() {
    assertBpffs();
    this.cgroupRoot = `${cgroup2Root()}/${prefix}-${process.pid}`;
    this.ztunnelCgroup = `${this.cgroupRoot}/ztunnel`;
    this.hostCgroup = `${this.cgroupRoot}/host`;
    for (const path of [this.cgroupRoot, this.ztunnelCgroup, this.hostCgroup]) mkdirSync(path);
    writeFileSync(`${this.ztunnelCgroup}/cgroup.procs`, String(process.pid));
    this.nodeNetns = this.#addNetns('node');
    ip(
      'node',
      'link set lo up',
      'link add br0 type bridge',
      'addr add 10.77.0.1/24 dev br0',
      'addr add fd77::1/64 dev br0 nodad',
      'link set br0 up',
    );
  }

  addPod(name: string): LabPod {
    const host = this.#pods.length + 10;
    const cgroup = `${this.cgroupRoot}/pod-${name}`;
    mkdirSync(cgroup);
    const netns = this.#addNetns(name);
    ip(
      name,
      'link set lo up',
      `link add eth0 type veth peer name v${name} netns ${netnsName('node')}`,
      `addr add 10.77.0.${host}/24 dev eth0`,
      `addr add fd77::${host}/64 dev eth0 nodad`,
      'link set eth0 up',
      'route add default via 10.77.0.1',
      'route add default via fd77::1',
    );
    ip('node', `link set v${name} master br0 up`);
    const pod = {
      name,
      uid: `test/${name}` as WorkloadUid,
      netns,
      cgroup,
      ip4: parseIp(`10.77.0.${host}`),
      ip6: parseIp(`fd77::${host}`),
    };
    this.#pods.push(pod);
    return pod;
  }

  open(options: Partial<DatapathOptions> = {}): Promise<Datapath> {
    return openDatapath({
      native,
      pinRoot: this.pinRoot,
      cgroupRoot: this.cgroupRoot,
      ztunnelCgroup: this.ztunnelCgroup,
      nodeNetns: this.nodeNetns,
      objectPath,
      sizes: { pods: 16, destinations: 64, flows: 64, egress: 64, verdicts: 64 },
      log: silentLogger,
      ...options,
    });
  }

  /** With this process, which plays ztunnel, in another cgroup: before 5.14 it learns cookies only below its own programs. */
  async as<T>(cgroup: string, action: () => Promise<T>): Promise<T> {
    writeFileSync(`${cgroup}/cgroup.procs`, String(process.pid));
    try {
      return await action();
    } finally {
      writeFileSync(`${this.ztunnelCgroup}/cgroup.procs`, String(process.pid));
    }
  }

  /** A listening socket in a pod; whoever connects is given to `accept`. The descriptor stays open with the lab. */
  async listen(netns: string, port: number, accept: (socket: Socket) => void = () => {}): Promise<Fd> {
    const fd = await native.createSocket({
      netns,
      family: 6,
      bindIp: null,
      bindPort: port,
      transparent: false,
      mark: 0,
      backlog: 64,
      dualStack: true,
    });
    const server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.resume();
      accept(socket);
    });
    await new Promise<void>((resolve) => server.listen({ fd: native.dup(fd) }, resolve));
    this.#servers.push(server);
    return fd;
  }

  /** The socket `enrol` is to give to the datapath. */
  plaintextListener(pod: LabPod, fd: Fd): void {
    this.#plaintextListeners.set(pod.uid, fd);
  }

  /** Another pod in the same place, with the same listeners. */
  successor(pod: LabPod, uid: string, changes: Partial<LabPod> = {}): LabPod {
    const next = { ...pod, ...changes, uid: uid as WorkloadUid };
    const listener = this.#plaintextListeners.get(pod.uid);
    if (listener !== undefined) this.plaintextListener(next, listener);
    return next;
  }

  async enrol(datapath: Datapath, pod: LabPod, addresses: readonly IpAddress[] = [pod.ip4, pod.ip6]): Promise<number> {
    const plaintextListener = this.#plaintextListeners.get(pod.uid);
    if (plaintextListener === undefined) throw new Error(`${pod.name} has no plaintext listener`);
    return datapath.enrol({
      uid: pod.uid,
      label: `test/${pod.name}`,
      cookie: await datapath.netnsCookie(pod.netns),
      netns: pod.netns,
      addresses,
      plaintextListener,
    });
  }

  /** Runs Python in a namespace and cgroup, with `arg` as JSON; the script prints JSON. */
  run(where: Place, script: string, arg: unknown = null): Promise<unknown> {
    return this.#scripts.run(where, script, arg);
  }

  /** Runs a script that holds something, until `release`, which tells all it printed; returns when it has printed a line. */
  hold(where: Place, script: string, arg: unknown): Promise<() => Promise<string>> {
    return this.#scripts.hold(where, script, arg);
  }

  removePins(): void {
    uninstallDatapath(native, this.pinRoot);
  }

  /** A directory that goes with the lab. */
  scratch(): string {
    const path = mkdtempSync(join(tmpdir(), `${prefix}-`));
    this.#directories.push(path);
    return path;
  }

  pin(kind: PinKind, name: string): string {
    return `${this.pinRoot}/${kind}/${name}`;
  }

  get host(): Place {
    return { netns: this.nodeNetns, cgroup: this.hostCgroup };
  }

  /** This process's cgroup, in any namespace. */
  ztunnelIn(netns: string): Place {
    return { netns, cgroup: this.ztunnelCgroup };
  }

  /** Ends whatever a failed test left running, too. */
  async close(): Promise<void> {
    this.#scripts.close();
    for (const socket of this.#sockets) socket.destroy();
    for (const server of this.#servers) server.close();
    writeFileSync(`${this.#homeCgroup}/cgroup.procs`, String(process.pid));
    ip(null, ...['node', ...this.#pods.map((pod) => pod.name)].map((name) => `netns del ${netnsName(name)}`));
    await killCgroup(this.cgroupRoot);
    await removeCgroup(this.cgroupRoot);
    this.removePins();
    for (const path of this.#directories) rmSync(path, { recursive: true });
  }

  #addNetns(name: string): string {
    ip(null, `netns add ${netnsName(name)}`);
    return `/run/netns/${netnsName(name)}`;
  }
}

/** In the lab's namespace of that name, or our own: one process for all lines, since an emulated kernel takes long to start one. */
function ip(name: string | null, ...lines: readonly string[]): void {
  const where = name === null ? [] : ['-n', netnsName(name)];
  execFileSync('ip', [...where, '-batch', '-'], { input: `${lines.join('\n')}\n` });
}

const netnsName = (name: string): string => `${prefix}-${process.pid}-${name}`;

function assertBpffs(): void {
  if (statfsSync(bpffs).type === 0xcafe4a11) return;
  sh(`mount -t bpf bpf ${bpffs}`);
}
