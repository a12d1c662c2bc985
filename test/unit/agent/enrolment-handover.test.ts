/** Pods that come with something: a sandbox that the CNI plugin announces, or sockets of an earlier worker. */
import { describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../src/base/errors.ts';
import type { Fd } from '../../../src/native/binding.ts';
import { settle, setup, startProcess, uid, workload } from './enrolling.ts';

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
    startProcess(1, [8, 1]);
    const { enrolment } = setup([workload(1)]);
    await enrolment.start();
    expect(enrolment.stateOf(uid(1))?.state).toBe('enrolled');
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
