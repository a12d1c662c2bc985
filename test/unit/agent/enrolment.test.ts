import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { CaptureVerifier } from '../../../src/agent/capture-verifier.ts';
import { Enrolment, type EnrolmentDeps } from '../../../src/agent/enrolment.ts';
import { PodNamespaces } from '../../../src/agent/pod-namespaces.ts';
import { MeshError } from '../../../src/base/errors.ts';
import { silentLogger } from '../../../src/base/log.ts';
import type { NodeName, Workload, WorkloadUid } from '../../../src/model/mesh.ts';
import type { Fd } from '../../../src/native/binding.ts';
import type { Keeper } from '../../../src/native/keeper.ts';
import { FakeClock, flushPromises } from '../../support/fake-clock.ts';
import { meshOf, pod } from '../../support/mesh-builder.ts';

const uid = (n: number): WorkloadUid => `00000000-0000-4000-8000-00000000000${n}` as WorkloadUid;
const workload = (n: number, more: Partial<Workload> = {}): Workload => ({
  ...pod(`shop/web-${n}`, { ips: [`10.244.1.${n}`] }),
  uid: uid(n),
  ...more,
});

let cgroupRoot = '';
beforeEach(() => {
  cgroupRoot = mkdtempSync(join(tmpdir(), 'mesh-ebpf-enrol-'));
});
afterEach(() => rmSync(cgroupRoot, { recursive: true, force: true }));

function startProcess(n: number): void {
  const cgroup = join(cgroupRoot, 'kubepods', `pod${uid(n)}`);
  mkdirSync(cgroup, { recursive: true });
  writeFileSync(join(cgroup, 'cgroup.procs'), `${n}\n`);
}

/** A kernel in which process N sits in a namespace with inode `inodeOf(N)` and the address 10.244.1.N. */
function setup(
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
async function settle(done: () => boolean): Promise<void> {
  for (const end = Date.now() + 10_000; !done() && Date.now() < end;) await flushPromises();
}

describe('enrolling the pods of this node', () => {
  it('prepares, captures and only then serves a pod', async () => {
    startProcess(1);
    const { enrolment, events } = setup([workload(1)]);
    await enrolment.start();
    expect(events).toEqual(['rules', 'capture 1', 'serve 1', 'ready']);
    expect(enrolment.stateOf(uid(1))?.state).toBe('enrolled');
    expect(enrolment.counts()).toEqual({ expected: 1, enrolled: 1, verified: 0 });
  });

  it('leaves alone what is on other nodes, not in the mesh, or on the host’s network', async () => {
    const { enrolment, events } = setup([
      workload(1, { node: 'node-b' as NodeName }),
      workload(2, { protocol: 'tcp' }),
      workload(3, { hostNetwork: true }),
    ]);
    await enrolment.start();
    expect(events).toEqual(['ready']);
    expect(enrolment.counts()).toEqual({ expected: 0, enrolled: 0, verified: 0 });
  });

  it('waits for a pod whose processes are not there yet', async () => {
    const { enrolment, clock, events } = setup([workload(1)]);
    await enrolment.start();
    expect(enrolment.stateOf(uid(1))).toMatchObject({ state: 'failed', error: { code: 'NETNS' } });
    startProcess(1);
    await clock.advance(50);
    await settle(() => enrolment.stateOf(uid(1))?.state === 'enrolled');
    expect(events.at(-1)).toBe('serve 1');
    expect(enrolment.stateOf(uid(1))?.state).toBe('enrolled');
  });

  it('never captures a namespace that does not have the pod’s address', async () => {
    startProcess(1);
    const { enrolment, events, kernel } = setup([workload(1)]);
    kernel.wrongNamespace = true;
    await enrolment.start();
    expect(events).toEqual(['ready']);
    expect(enrolment.stateOf(uid(1))).toMatchObject({
      state: 'failed',
      error: { code: 'NETNS', message: expect.stringContaining('lacks the pod') },
    });
    expect([...kernel.openFds.values()]).toEqual([]);
  });

  it('releases a pod that leaves the mesh, and its namespace when its last connection has ended', async () => {
    startProcess(1);
    const { enrolment, events, replace, kernel } = setup([workload(1)]);
    await enrolment.start();
    events.length = 0;
    replace([workload(1, { protocol: 'tcp' })]);
    await settle(() => events.includes('retire 1'));
    expect(events).toEqual(['release 1', 'retire 1']);
    kernel.lastConnection.resolve();
    await settle(() => events.includes('no rules'));
    expect(events).toEqual(['release 1', 'retire 1', 'no rules']);
    expect([...kernel.openFds.values()].filter((name) => name.startsWith('/proc'))).toEqual([]);
  });

  it('leaves its namespace as it is when it has come back into the mesh meanwhile', async () => {
    startProcess(1);
    const { enrolment, events, replace, kernel } = setup([workload(1)]);
    await enrolment.start();
    events.length = 0;
    replace([workload(1, { protocol: 'tcp' })]);
    await settle(() => events.includes('retire 1'));
    replace([workload(1)]);
    await settle(() => events.includes('serve 1'));
    kernel.lastConnection.resolve();
    await enrolment.enrolNow(uid(1));
    expect(events).toEqual(['release 1', 'retire 1', 'rules', 'capture 1', 'serve 1']);
    expect(enrolment.stateOf(uid(1))?.state).toBe('enrolled');
  });

  it('ends the connections of a pod that is gone, also those it left the mesh with', async () => {
    startProcess(1);
    const { enrolment, events, replace } = setup([workload(1)]);
    await enrolment.start();
    replace([workload(1, { protocol: 'tcp' })]);
    await settle(() => events.includes('retire 1'));
    events.length = 0;
    replace([]);
    await settle(() => events.includes('stop 1'));
    expect(events).toEqual(['stop 1']);
  });

  it('releases what an earlier agent captured and nobody wants any more', async () => {
    const { enrolment, events } = setup([], [uid(7)]);
    await enrolment.start();
    expect(events).toEqual(['release 7', 'stop 7', 'ready']);
  });

  it('keeps pods captured when it stops: the mesh must not open because its agent restarts', async () => {
    startProcess(1);
    const { enrolment, events, kernel } = setup([workload(1)]);
    await enrolment.start();
    await enrolment.stop();
    expect(kernel.captured.has(uid(1))).toBe(true);
    expect(events).not.toContain('release 1');
  });

  it('enrols a pod again whose sandbox was replaced', async () => {
    startProcess(1);
    const { enrolment, events, kernel, clock } = setup([workload(1)]);
    await enrolment.start();
    kernel.inode = 2n;
    events.length = 0;
    await clock.advance(5000);
    await settle(() => events.includes('serve 1'));
    expect(events).toEqual(['release 1', 'stop 1', 'no rules', 'rules', 'capture 1', 'serve 1']);
  });

  it('keeps a pod captured that only a snapshot says is not in the mesh, until the API server says so', async () => {
    startProcess(7);
    const { enrolment, kernel, clock, namespaces } = setup([workload(7, { protocol: 'tcp' })], [uid(7)]);
    kernel.current = false;
    await namespaces.scan();
    await enrolment.start();
    await clock.advance(60_000);
    expect([...kernel.captured]).toEqual([uid(7)]);
    kernel.current = true;
    await clock.advance(10_000);
    await settle(() => kernel.captured.size === 0);
  });

  it('keeps a pod captured that an earlier agent captured, that runs, and of which nobody says anything yet', async () => {
    startProcess(7);
    const { enrolment, kernel, replace, events, namespaces } = setup([], [uid(7)]);
    await namespaces.scan();
    await enrolment.start();
    expect([...kernel.captured]).toEqual([uid(7)]);
    events.length = 0;
    replace([workload(7, { protocol: 'tcp' })]);
    await settle(() => kernel.captured.size === 0);
    expect(events).toEqual(['release 7', 'stop 7']);
  });
});

describe('a pod whose sandbox the CNI plugin announces', () => {
  it('is enrolled before it has a process', async () => {
    const { enrolment, namespaces, store, events } = setup([]);
    await enrolment.start();
    await namespaces.claim(workload(1), 'c-1', '/sandbox/1');
    store.announce(workload(1));
    await enrolment.enrolNow(uid(1));
    expect(events).toEqual(['ready', 'rules', 'capture 1', 'serve 1']);
    expect(enrolment.counts()).toEqual({ expected: 1, enrolled: 1, verified: 1 });
  });

  it('is refused when the sandbox does not have its address, and stays where it is', async () => {
    startProcess(1);
    const { enrolment, namespaces, kernel, events } = setup([workload(1)]);
    await enrolment.start();
    const openFds = kernel.openFds.size;
    events.length = 0;
    await expect(namespaces.claim(workload(1), 'c-1', '/sandbox/2')).rejects.toMatchObject({ code: 'NETNS' });
    await enrolment.enrolNow(uid(1));
    expect({ events, openFds: kernel.openFds.size }).toEqual({ events: [], openFds });
  });

  it('is refused when its capture does not hold', async () => {
    const { enrolment, namespaces, store, kernel } = setup([]);
    await enrolment.start();
    kernel.broken = new MeshError('NETNS', 'what it dials is not captured');
    await namespaces.claim(workload(1), 'c-1', '/sandbox/1');
    store.announce(workload(1));
    await expect(enrolment.enrolNow(uid(1))).rejects.toThrow('what it dials is not captured');
    kernel.broken = undefined;
    await enrolment.enrolNow(uid(1));
  });

  it('moves to its new sandbox even if that has the old one’s address', async () => {
    startProcess(1);
    const { enrolment, namespaces, events, kernel } = setup([workload(1)]);
    await enrolment.start();
    events.length = 0;
    await namespaces.claim(workload(1), 'c-2', '/sandbox/1');
    await enrolment.enrolNow(uid(1));
    expect(events).toEqual(['release 1', 'stop 1', 'no rules', 'rules', 'capture 1', 'serve 1']);
    await enrolment.enrolNow(uid(1));
    expect(events).toHaveLength(6);
    namespaces.release('c-2');
    expect([...kernel.openFds.values()].filter((name) => name === '/sandbox/1')).toHaveLength(1);
  });

  it('finds the one namespace that is its own among those its processes are in', async () => {
    startProcess(1);
    writeFileSync(join(cgroupRoot, 'kubepods', `pod${uid(1)}`, 'cgroup.procs'), '8\n1\n');
    const { enrolment } = setup([workload(1)]);
    await enrolment.start();
    expect(enrolment.stateOf(uid(1))?.state).toBe('enrolled');
  });
});

describe('proving that enrolled pods are captured', () => {
  const broken = new MeshError('NETNS', 'what arrives for it is not captured');

  it('begins when the datapath is active, and goes on in turn', async () => {
    [1, 2, 3].forEach(startProcess);
    const { enrolment, clock } = setup([workload(1), workload(2), workload(3)]);
    await enrolment.start();
    expect(enrolment.counts().verified).toBe(0);
    enrolment.startProving();
    await clock.advance(0);
    await settle(() => enrolment.counts().verified === 2);
    await settle(() => clock.nextDelay === 5000);
    await clock.advance(5000);
    await settle(() => enrolment.counts().verified === 3);
    expect(enrolment.counts()).toEqual({ expected: 3, enrolled: 3, verified: 3 });
  });

  it('mends what does not hold, without ending a connection', async () => {
    startProcess(1);
    const { enrolment, clock, kernel, events } = setup([workload(1)]);
    await enrolment.start();
    kernel.broken = broken;
    events.length = 0;
    enrolment.startProving();
    await clock.advance(0);
    await settle(() => events.length > 0);
    expect(events).toEqual(['capture 1']);
    await settle(() => clock.nextDelay === 5000);
    expect(enrolment.stateOf(uid(1))).toMatchObject({ state: 'enrolled', proof: { error: broken } });
    kernel.broken = undefined;
    await clock.advance(5000);
    await settle(() => enrolment.counts().verified === 1);
    expect(enrolment.counts().verified).toBe(1);
  });
});

/** What a worker leaves that served pod 1 in the namespace with inode 1. */
async function left(): Promise<Map<string, Fd>> {
  startProcess(1);
  const { enrolment, held } = setup([workload(1)]);
  await enrolment.start();
  return held;
}

describe('sockets that an earlier worker left with the keeper', () => {
  it('are the pod’s three, by its UID, its namespace and their ports', async () => {
    expect([...(await left()).keys()]).toEqual(
      [15001, 15006, 15008].map((port) => `listener:${uid(1)}:4:1:ipv4:${port}`),
    );
  });

  it('serve the pod at once, before its namespace is looked after', async () => {
    const held = await left();
    const { enrolment, events, kernel } = setup([workload(1)], [uid(1)], held);
    await enrolment.start();
    await settle(() => events.includes('rules'));
    expect(events).toEqual(['capture 1', 'serve 1', 'ready', 'rules']);
    expect([...kernel.openFds.values()].filter((what) => what.startsWith('listener'))).toEqual([]);
    expect(held.size).toBe(3);
  });

  it('are not used in another namespace, nor when they are not all there', async () => {
    const held = await left();
    const moved = setup([workload(1)], [uid(1)], new Map(held));
    moved.kernel.inode = 2n;
    await moved.enrolment.start();
    expect(moved.events).toEqual(['rules', 'capture 1', 'serve 1', 'ready']);
    expect([...moved.held.keys()].every((name) => name.includes(':4:2:'))).toBe(true);

    const some = new Map([...held].slice(1));
    const incomplete = setup([workload(1)], [uid(1)], some);
    await incomplete.enrolment.start();
    expect(incomplete.events[0]).toBe('rules');
    expect(some.size).toBe(3);
  });

  it('are given up with the pod', async () => {
    const held = await left();
    const { enrolment, events, replace } = setup([workload(1)], [uid(1)], held);
    await enrolment.start();
    replace([]);
    await settle(() => events.includes('stop 1'));
    expect([...held.keys()]).toEqual([]);
  });
});
