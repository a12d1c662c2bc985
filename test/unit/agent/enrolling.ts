/** An enrolment with pods, their cgroups and a kernel that says what the test wants. Whoever imports it has cgroups of its own for each test. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from '@jest/globals';
import { CaptureVerifier } from '../../../src/agent/capture-verifier.ts';
import { Enrolment, type EnrolmentDeps } from '../../../src/agent/enrolment.ts';
import { PodNamespaces } from '../../../src/agent/pod-namespaces.ts';
import type { MeshError } from '../../../src/base/errors.ts';
import { silentLogger } from '../../../src/base/log.ts';
import type { NodeName, Workload, WorkloadUid } from '../../../src/model/mesh.ts';
import type { Fd } from '../../../src/native/binding.ts';
import type { Keeper } from '../../../src/native/keeper.ts';
import { FakeClock, flushPromises } from '../../support/fake-clock.ts';
import { meshOf, pod } from '../../support/mesh-builder.ts';

export const uid = (n: number): WorkloadUid => `00000000-0000-4000-8000-00000000000${n}` as WorkloadUid;
export const workload = (n: number, more: Partial<Workload> = {}): Workload => ({
  ...pod(`shop/web-${n}`, { ips: [`10.244.1.${n}`] }),
  uid: uid(n),
  ...more,
});

let cgroupRoot = '';
beforeEach(() => {
  cgroupRoot = mkdtempSync(join(tmpdir(), 'mesh-ebpf-enrol-'));
});
afterEach(() => rmSync(cgroupRoot, { recursive: true, force: true }));

/** Process N in pod N, or other ones. */
export function startProcess(n: number, pids: readonly number[] = [n]): void {
  const cgroup = join(cgroupRoot, 'kubepods', `pod${uid(n)}`);
  mkdirSync(cgroup, { recursive: true });
  writeFileSync(join(cgroup, 'cgroup.procs'), pids.map((pid) => `${pid}\n`).join(''));
}

/** A kernel in which process N sits in a namespace with inode `inodeOf(N)` and the address 10.244.1.N. */
export function setup(
  workloads: readonly Workload[],
  captured: readonly WorkloadUid[] = [],
  held = new Map<string, Fd>(),
) {
  const events: string[] = [];
  const keeper: Keeper = {
    restarts: 0,
    take: (name) => held.get(name),
    hold: (name, fd) => void held.set(name, fd),
    drop: (prefix) => {
      for (const name of held.keys()) if (name.startsWith(prefix)) held.delete(name);
    },
    ready: () => (events.push('ready'), 0),
  };
  const kernel = {
    captured: new Set(captured),
    openFds: new Map<number, string>(),
    /** Of every process's namespace. */
    inode: 1n,
    wrongNamespace: false,
    /** Of retired pods. */
    lastConnection: Promise.withResolvers<void>(),
    /** What the next proofs come out as: undefined proves capture. */
    broken: undefined as MeshError | undefined,
    /** The model is what the API server says now. */
    current: true,
  };
  let nextFd = 100;
  const open = (what: string): Fd => {
    kernel.openFds.set(++nextFd, what);
    return nextFd as Fd;
  };
  const store = meshOf({ workloads });
  const clock = new FakeClock();
  /** What a descriptor was opened as, through descriptors of descriptors. */
  const origin = (path: string): string => {
    const from = /\/proc\/\d+\/fd\/(\d+)$/.exec(path)?.[1];
    return from === undefined ? path : origin(kernel.openFds.get(Number(from)) ?? 'closed');
  };
  const inodeOf = (from: string): bigint =>
    from.startsWith('/sandbox') ? 99n : from === '/proc/8/ns/net' ? 88n : kernel.inode;
  const namespaces = new PodNamespaces({
    native: {
      openPath: (path) => open(origin(path)),
      closeFd: (fd) => void kernel.openFds.delete(fd),
      netnsId: (path) => ({ device: 4n, inode: inodeOf(origin(path)) }),
      netnsAddresses: (path) => {
        const pid = /\/(\d+)(\/ns\/net)?$/.exec(origin(path))?.[1] ?? '?';
        return Promise.resolve([kernel.wrongNamespace ? '10.9.9.9' : `10.244.1.${pid}`]);
      },
    },
    cgroupRoots: [cgroupRoot],
    now: () => clock.now(),
  });
  const deps: EnrolmentDeps = {
    mesh: store,
    isCurrent: () => kernel.current,
    clock,
    log: silentLogger,
    attemptFailed: () => {},
    keeper,
    namespaces,
    verifier: new CaptureVerifier({
      clock,
      prove: () => (kernel.broken === undefined ? Promise.resolve() : Promise.reject(kernel.broken)),
    }),
    native: {
      closeFd: (fd) => void kernel.openFds.delete(fd),
      createSocket: ({ bindPort }) => Promise.resolve(open(`listener ${bindPort}`)),
    },
    rules: {
      add: () => Promise.resolve(void events.push('rules')),
      remove: () => Promise.resolve(void events.push('no rules')),
    },
    capture: {
      enrol: ({ uid: id }) => {
        kernel.captured.add(id);
        return Promise.resolve(void events.push(`capture ${id.at(-1)}`));
      },
      unenrol: (id) => {
        kernel.captured.delete(id);
        return Promise.resolve(void events.push(`release ${id.at(-1)}`));
      },
      captured: () => [...kernel.captured],
    },
    engine: {
      addPod: ({ uid: id }) => void events.push(`serve ${id.at(-1)}`),
      removePod: (id) => void events.push(`stop ${id.at(-1)}`),
      retirePod: (id) => {
        events.push(`retire ${id.at(-1)}`);
        return kernel.lastConnection.promise;
      },
    },
  };
  const enrolment = new Enrolment(deps, {
    node: 'node-a' as NodeName,
    verifyEveryMs: 5000,
    provedPerTurn: 2,
  });
  const replace = (next: readonly Workload[]): void =>
    store.replace({ workloads: next, services: [], policies: [], peerAuthentications: [] });
  return { enrolment, events, kernel, clock, replace, held, namespaces, store };
}

/** Real file reads stand between a change and its effect: nobody knows how many turns they take on a busy machine. */
export async function settle(done: () => boolean): Promise<void> {
  for (const end = Date.now() + 10_000; !done() && Date.now() < end;) await flushPromises();
}
