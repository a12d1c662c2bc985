import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Enrolment, type EnrolmentDeps } from '../../../src/agent/enrolment.ts';
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
    inode: 1n,
    wrongNamespace: false,
  };
  let nextFd = 100;
  const open = (what: string): Fd => {
    kernel.openFds.set(++nextFd, what);
    return nextFd as Fd;
  };
  const store = meshOf({ workloads });
  const clock = new FakeClock();
  const deps: EnrolmentDeps = {
    mesh: store,
    clock,
    log: silentLogger,
    attemptFailed: () => {},
    keeper,
    native: {
      openPath: (path) => open(path),
      closeFd: (fd) => void kernel.openFds.delete(fd),
      netnsId: () => ({ device: 4n, inode: kernel.inode }),
      netnsAddresses: (path) => {
        const from = kernel.openFds.get(Number(path.split('/').at(-1))) ?? '';
        const pid = /\/proc\/(\d+)\//.exec(from)?.[1] ?? '?';
        return Promise.resolve([kernel.wrongNamespace ? '10.9.9.9' : `10.244.1.${pid}`]);
      },
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
    },
  };
  const enrolment = new Enrolment(deps, { node: 'node-a' as NodeName, cgroupRoot, verifyEveryMs: 5000 });
  const replace = (next: readonly Workload[]): void =>
    store.replace({ workloads: next, services: [], policies: [] });
  return { enrolment, events, kernel, clock, replace, held };
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
    expect(enrolment.counts()).toEqual({ expected: 1, enrolled: 1 });
  });

  it('leaves alone what is on other nodes, not in the mesh, or on the host’s network', async () => {
    const { enrolment, events } = setup([
      workload(1, { node: 'node-b' as NodeName }),
      workload(2, { protocol: 'tcp' }),
      workload(3, { hostNetwork: true }),
    ]);
    await enrolment.start();
    expect(events).toEqual(['ready']);
    expect(enrolment.counts()).toEqual({ expected: 0, enrolled: 0 });
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

  it('releases a pod that leaves the mesh, and its namespace', async () => {
    startProcess(1);
    const { enrolment, events, replace, kernel } = setup([workload(1)]);
    await enrolment.start();
    events.length = 0;
    replace([workload(1, { protocol: 'tcp' })]);
    await settle(() => events.includes('no rules'));
    expect(events).toEqual(['release 1', 'stop 1', 'no rules']);
    expect([...kernel.openFds.values()].filter((name) => name.startsWith('/proc'))).toEqual([]);
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
